// Drives tabs of one Chromium for the tests of what a browser keeps: does what each line of standard input asks for, and answers
// each with a line. Every line is JSON. Unlike `drive.mjs` it has several tabs, kills them and the browser, and takes the network,
// the room on the disk and the time away from them.
import { createInterface } from "node:readline";
import { readFileSync, readlinkSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { anotherBuild } from "./another-build.mjs";
import { downgrade, takeNotes, watchFor } from "./in-page.mjs";

const { modules, program: executablePath, profile, url, speech } = JSON.parse(process.argv[2]);
const require = createRequire(`${modules}/`);
const { chromium } = require("playwright-core");

const WAIT = { timeout: 20_000 };
let args = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // A page whose files come from here has no address that could be called local.
  "--disable-features=LocalNetworkAccessChecks",
  "--autoplay-policy=no-user-gesture-required",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  ...(speech ? [`--use-file-for-fake-audio-capture=${speech}`] : []),
];

// The page's own files stay in reach while the network is cut: what is tested here is what the page does then.
const files = new Map();
// Whether pages come under another address of their files, as another version does.
let another = false;
// How far the workers' wall clock is off, ms.
let shift = 0;
let context;
let tabs = [];
// The server under another address, where the page is to have its service worker.
let build;
const complaints = [];

async function file(route) {
  const url = route.request().url().replace("/another/", "/");
  const path = new URL(url).pathname;
  if (path.startsWith("/api/")) return route.fallback();
  // A page of this origin that uses nothing.
  if (path === "/healthz") return route.fulfill({ contentType: "text/html", body: "<title>beside</title>" });
  if (!files.has(path)) {
    const response = await route.fetch({ url });
    // What comes from here is not compressed any more.
    const { "content-encoding": coding, "content-length": length, ...headers } = response.headers();
    files.set(path, { status: response.status(), headers, body: await response.body() });
  }
  const kept = files.get(path);
  if (shift !== 0 && path.endsWith("/worker.js")) {
    const moved = `{ const now = Date.now; Date.now = () => now() + ${shift}; }\n`;
    return route.fulfill({ ...kept, body: moved + kept.body });
  }
  if (another && path === "/") {
    return route.fulfill({ ...kept, body: kept.body.toString().replaceAll(/\/app\/\w+\//g, "$&another/") });
  }
  return route.fulfill(kept);
}

async function start() {
  context = await chromium.launchPersistentContext(profile, {
    executablePath,
    args,
    ignoreDefaultArgs: ["--mute-audio", "--headless", "--headless=old"],
    headless: false,
    viewport: { width: 1280, height: 800 },
    serviceWorkers: build ? "allow" : "block",
  });
  await context.addInitScript(takeNotes);
  // With its own service worker the page comes from there.
  if (!build) await context.route("**/*", file);
  tabs = [];
}

const shown = ".talk-state, .talk-hint, .banner, .item, .sign-in, .link, .card, .waits";
const tab = ({ tab = 0 }) => tabs[tab];
const deeds = {
  // Opens a tab; how long until its first screen can be used, ms.
  async open(at) {
    const began = Date.now();
    const page = await context.newPage();
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    tabs[at.tab ?? 0] = page;
    await page.goto(`${build?.url ?? url}${at.path ?? ""}`, WAIT);
    await page.locator(at.until ?? "form, .room-row").first().waitFor(WAIT);
    return { usable_ms: Date.now() - began };
  },
  async "sign-in"(at) {
    const page = tab(at);
    await page.getByLabel("Sign-in name").fill(at.login);
    await page.getByLabel("Password").fill(at.password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.locator(".room-row").first().waitFor(WAIT);
    return {};
  },
  async room(at) {
    await tab(at).locator(".room-row", { hasText: at.name }).click();
    await tab(at).locator(".talk-button").waitFor(WAIT);
    return {};
  },
  async press(at) {
    await tab(at).bringToFront();
    await tab(at).locator(".talk-button").hover();
    await tab(at).mouse.down();
    return {};
  },
  // The button is down until so long after the tab was told that it leads.
  async "press-shortly"(at) {
    await tab(at).bringToFront();
    await tab(at).locator(".talk-button").hover();
    await tab(at).evaluate(() => (globalThis.notes.length = 0));
    await tab(at).mouse.down();
    await tab(at).waitForFunction(() => globalThis.notes.some(([what]) => what === "leads"), undefined, { ...WAIT, polling: 5 });
    await new Promise((resolve) => setTimeout(resolve, at.ms));
    await tab(at).mouse.up();
    return {};
  },
  // A tab's process dies, and another tab's text is sent right then.
  async "crash-and-send"(at) {
    const writes = tab({ tab: at.writes }).getByLabel("Message");
    await writes.fill(at.text);
    const session = await context.newCDPSession(tab(at));
    const gone = new Promise((resolve) => tab(at).once("crash", resolve));
    session.send("Page.crash").catch(() => {});
    await writes.press("Enter");
    await gone;
    return {};
  },
  // Takes the lead away from whoever has it, and leads not: as a tab that came to a halt. Or lets the next one have it.
  async halt({ on }) {
    if (!on) return globalThis.halted.close().then(() => ({}));
    const page = await context.newPage();
    await page.goto(`${url}healthz`, WAIT);
    await page.evaluate(
      () => new Promise((has) => void navigator.locks.request("holler-leader", { steal: true }, () => (has(), new Promise(() => {})))),
    );
    globalThis.halted = page;
    return {};
  },
  // Pages are of another version from here on.
  async "another-version"() {
    another = true;
    return {};
  },
  // From the next start on no page sounds before somebody touched it.
  async "silent-until-touched"() {
    args = args.map((arg) => (arg.startsWith("--autoplay-policy=") ? "--autoplay-policy=document-user-activation-required" : arg));
    await context.close();
    await start();
    return {};
  },
  async release(at) {
    await tab(at).mouse.up();
    return {};
  },
  async "wait-for"(at) {
    const hasText = at.pattern ? new RegExp(at.pattern) : at.words;
    const began = Date.now();
    await tab(at).locator(at.selector ?? shown).filter({ hasText }).first().waitFor(WAIT);
    return { ms: Date.now() - began };
  },
  async gone(at) {
    await tab(at).locator(at.selector).filter({ hasText: at.words }).first().waitFor({ ...WAIT, state: "detached" });
    return {};
  },
  async count(at) {
    return { count: await tab(at).locator(at.selector).filter({ hasText: at.words }).count() };
  },
  async click(at) {
    await tab(at).locator(at.selector).first().click(WAIT);
    return {};
  },
  async button(at) {
    await tab(at).getByRole("button", { name: at.name }).first().click(WAIT);
    return {};
  },
  // Writes texts without waiting for what becomes of them.
  async write(at) {
    for (const text of at.texts) {
      await tab(at).getByLabel("Message").fill(text);
      await tab(at).getByLabel("Message").press("Enter");
    }
    return {};
  },
  async screen(at) {
    return { text: await tab(at).locator("body").innerText() };
  },
  // Lets some time pass with the button held.
  async hold({ ms }) {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return {};
  },
  // The browser is killed, all of it, and started again on what it left.
  async kill() {
    const [, pid] = readlinkSync(`${profile}/SingletonLock`).match(/-(\d+)$/);
    const gone = new Promise((resolve) => context.once("close", resolve));
    process.kill(Number(pid), "SIGKILL");
    await gone;
    rmSync(`${profile}/SingletonLock`, { force: true });
    await start();
    return {};
  },
  // One tab's process dies.
  async crash(at) {
    const session = await context.newCDPSession(tab(at));
    const gone = new Promise((resolve) => tab(at).once("crash", resolve));
    session.send("Page.crash").catch(() => {});
    await gone;
    return {};
  },
  async close(at) {
    await tab(at).close();
    return {};
  },
  // Whether this page may keep nothing more from now on, or as much as before.
  async quota(at) {
    const session = await context.newCDPSession(tab(at));
    const origin = new URL(url).origin;
    const { usage } = await session.send("Storage.getUsageAndQuota", { origin });
    const quotaSize = at.none ? 1 : undefined;
    await session.send("Storage.overrideQuotaForOrigin", { origin, ...(quotaSize === undefined ? {} : { quotaSize }) });
    // It holds for as long as who asked for it is there.
    globalThis.quota = session;
    return { usage };
  },
  // The browser throws away what the page keeps, but for what lies in local storage.
  async evict(at) {
    const session = await context.newCDPSession(tab(at));
    await session.send("Storage.clearDataForOrigin", { origin: new URL(url).origin, storageTypes: "indexeddb" });
    return {};
  },
  // From the next start on the workers' wall clock is so far off.
  async clock({ ms }) {
    shift = ms;
    return {};
  },
  // IndexedDB is not there from the next start on, as in some private windows.
  async private() {
    const kept = files.get([...files.keys()].find((path) => path.endsWith("/worker.js")));
    kept.body = `Object.defineProperty(globalThis, "indexedDB", { value: null });\n${kept.body}`;
    return {};
  },
  // The database as an earlier version of its schema left it: without what came later. No page may be open that uses it.
  async downgrade({ version, without }) {
    const page = await context.newPage();
    await page.goto(`${url}healthz`, WAIT);
    const left = await page.evaluate(
      downgrade,
      { version, without },
    );
    await page.close();
    return { left };
  },
  // Every value under a name that begins so is another one by a bit.
  async damage({ prefix }) {
    const page = await context.newPage();
    await page.goto(`${url}healthz`, WAIT);
    const count = await page.evaluate(async (prefix) => {
      const done = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
      const database = await done(indexedDB.open("holler"));
      const store = database.transaction("queue", "readwrite").objectStore("queue");
      const names = (await done(store.getAllKeys())).filter((name) => name.startsWith(prefix));
      for (const name of names) {
        const record = await done(store.get(name));
        record[1][0] ^= 1;
        await done(store.put(record, name));
      }
      database.close();
      return names.length;
    }, prefix);
    await page.close();
    return { count };
  },
  // Hands the worker texts as the page does, and waits until each is said to wait here, which is said when it is on the disk: ms.
  async texts(at) {
    return tab(at).evaluate(async ({ room, ids }) => {
      const began = performance.now();
      const left = new Set(ids);
      const told = new Promise((resolve) => {
        globalThis.worker.addEventListener("message", ({ data }) => {
          if (!data.includes('"Waiting"')) return;
          for (const [id] of data.matchAll(/cid_[0-9a-z]{26}|[a-z]+_[0-9a-z]{26}/g)) left.delete(id);
          if (left.size === 0) resolve();
        });
      });
      for (const client_id of ids) {
        const body = { kind: "message.posted", text: `text ${client_id}` };
        globalThis.worker.postMessage(JSON.stringify({ Command: { Send: { room, client_id, body } } }));
      }
      await told;
      return { ms: performance.now() - began };
    }, at);
  },
  // From here on the page comes with its service worker, from another address at which a new version can be put: see
  // another-build.mjs.
  async "with-service-worker"({ certificate, key }) {
    build = await anotherBuild(url, { cert: readFileSync(certificate), key: readFileSync(key) });
    await context.close();
    await start();
    return {};
  },
  // Waits until the service worker has its files, and lets the page come from it.
  async served(at) {
    const page = tab(at);
    await page.evaluate(async () => (await navigator.serviceWorker.ready).scope);
    await page.reload(WAIT);
    await page.locator(".room-row").first().waitFor(WAIT);
    return { served: await page.evaluate(() => navigator.serviceWorker.controller !== null) };
  },
  // From here on such a file comes as something else than was built.
  async spoil({ file }) {
    build.spoilt = file;
    return {};
  },
  // What becomes of the service worker, and which files it keeps.
  async installed(at) {
    return tab(at).evaluate(async () => {
      const made = await navigator.serviceWorker.register("/service-worker.js", { updateViaCache: "none" });
      const worker = made.installing ?? made.waiting ?? made.active;
      const settled = () => worker.state === "activated" || worker.state === "redundant";
      await new Promise((done) => {
        worker.addEventListener("statechange", () => settled() && done());
        if (settled()) done();
      });
      return { state: worker.state, kept: (await caches.keys()).filter((name) => name.startsWith("holler-")) };
    });
  },
  // Whether the server answers what the page asks it; the page's own files come all the same.
  async api({ on }) {
    build.answers(on);
    return {};
  },
  // The server was upgraded; a page looks for it, and every page says so.
  async "another-build"() {
    build.next = true;
    await tabs[0].evaluate(async () => (await navigator.serviceWorker.ready).update());
    for (const page of tabs) await page.locator(".banner", { hasText: "newer version" }).waitFor(WAIT);
    return {};
  },
  // Which version a tab is of.
  async version(at) {
    return { newer: await tab(at).evaluate((name) => document.querySelector("script").src.includes(name), build.version) };
  },
  // The page was loaded anew from the other build.
  async "taken-over"(at) {
    const fresh = (name) => document.querySelector("script")?.src.includes(name);
    await tab(at).waitForFunction(fresh, build.version, WAIT);
    return {};
  },
  // An event comes for the service worker, as the browser would send it; only that no person has clicked.
  async "service-event"({ type, details }) {
    const worker = context.serviceWorkers().find((worker) => worker.url().startsWith(build.url));
    return worker.evaluate(
      ({ type, details }) => {
        const tried = [];
        const { openWindow } = clients;
        clients.openWindow = (url) => (tried.push(url), Promise.resolve(null));
        const event = Object.assign(new Event(type), details, { waitUntil: (done) => done.catch?.(() => {}) });
        if (details.notification) event.notification = { ...details.notification, close: () => tried.push("closed") };
        dispatchEvent(event);
        return new Promise((resolve) => setTimeout(() => ((clients.openWindow = openWindow), resolve({ tried })), 500));
      },
      { type, details },
    );
  },
  // Whether the browser says that there is a network.
  async network({ on }) {
    await context.setOffline(!on);
    return {};
  },
  async "watch-for"(at) {
    await tab(at).evaluate(watchFor, at.words);
    return {};
  },
  // What was noted, once `until` is.
  async notes(at) {
    const there = (until) => until === undefined || globalThis.notes.some(([what]) => what === until);
    await tab(at).waitForFunction(there, at.until, { timeout: 50_000 });
    return { notes: await tab(at).evaluate(() => globalThis.notes) };
  },
  async end() {
    await context.close();
    return {};
  },
};

await start();
for await (const line of createInterface({ input: process.stdin })) {
  const { do: deed, ...details } = JSON.parse(line);
  let answer;
  try {
    answer = { ok: true, ...(await deeds[deed](details)) };
  } catch (error) {
    const screens = [];
    for (const page of tabs) screens.push(await page?.locator("body").innerText({ timeout: 2_000 }).catch(() => "gone"));
    answer = { ok: false, error: `${error}\nThe screens say: ${screens.join("\n----\n")}`, complaints: complaints.slice(-5) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
  if (deed === "end") process.exit(0);
}
await context.close();
process.exit(1);
