// Drives tabs of Debian's Firefox as tabs.mjs drives those of Chromium, as far as the main cases need it. What is asked for has the
// same names. The page's files are kept by its own service worker here: a start without the network is one by it.
import { createInterface } from "node:readline";
import { launch } from "./firefox-launch.mjs";
import { downgrade, takeNotes } from "./in-page.mjs";

const settings = JSON.parse(process.argv[2]);
const { url } = settings;

const WAIT_MS = 20_000;
const complaints = [];
let browser;
let tabs = [];
// A picture of the app: a page of its origin that uses nothing.
let icon;

async function start() {
  browser = await launch(settings, {
    // A tone in place of the microphone: what is recorded does not matter here.
    "media.navigator.streams.fake": true,
    // Firefox starts as it is, not with what was open when it was killed.
    "browser.sessionstore.resume_from_crash": false,
    "toolkit.startup.max_resumed_crashes": -1,
  });
  tabs = [];
}

const shown = ".talk-state, .talk-hint, .banner, .item, .sign-in, .link, .card, .waits";
const tab = ({ tab = 0 }) => tabs[tab];

// Waits until something of that kind says this, or nothing does any more.
function until(page, selector, words, pattern, there = true) {
  return page.waitForFunction(
    (selector, words, pattern, there) => {
      const says = (text) => (pattern ? new RegExp(pattern).test(text) : !words || text.includes(words));
      return [...document.querySelectorAll(selector)].some((one) => says(one.innerText)) === there;
    },
    { timeout: WAIT_MS, polling: 50 },
    selector,
    words,
    pattern,
    there,
  );
}

const deeds = {
  async open(at) {
    const began = Date.now();
    const page = await browser.newPage();
    await page.evaluateOnNewDocument(takeNotes);
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    tabs[at.tab ?? 0] = page;
    await page.goto(url, { waitUntil: "domcontentloaded", timeout: WAIT_MS });
    await until(page, at.until ?? "form, .room-row");
    icon = await page.evaluate(() => document.querySelector("link[rel=icon]").href);
    return { usable_ms: Date.now() - began };
  },
  async "sign-in"(at) {
    const page = tab(at);
    await (await page.waitForSelector("[name=username]", { timeout: WAIT_MS })).type(at.login);
    await (await page.waitForSelector("[type=password]", { timeout: WAIT_MS })).type(at.password);
    await page.keyboard.press("Enter");
    await until(page, ".room-row");
    // From now on it opens without the network.
    await page.evaluate(async () => (await navigator.serviceWorker.ready).scope);
    return {};
  },
  async room(at) {
    await tab(at).bringToFront();
    await until(tab(at), ".room-row", at.name);
    await tab(at).evaluate((name) => [...document.querySelectorAll(".room-row")].find((row) => row.innerText.includes(name)).click(), at.name);
    await until(tab(at), ".talk-button");
    return {};
  },
  async press(at) {
    await tab(at).bringToFront();
    await (await tab(at).waitForSelector(".talk-button", { visible: true, timeout: WAIT_MS })).hover();
    await tab(at).mouse.down();
    return {};
  },
  async release(at) {
    await tab(at).mouse.up();
    return {};
  },
  async "wait-for"(at) {
    const began = Date.now();
    await until(tab(at), at.selector ?? shown, at.words, at.pattern);
    return { ms: Date.now() - began };
  },
  async gone(at) {
    await until(tab(at), at.selector, at.words, undefined, false);
    return {};
  },
  async count(at) {
    const count = ({ selector, words }) => [...document.querySelectorAll(selector)].filter((one) => one.innerText.includes(words)).length;
    return { count: await tab(at).evaluate(count, at) };
  },
  async write(at) {
    for (const text of at.texts) {
      const field = await tab(at).waitForSelector("#composer", { visible: true, timeout: WAIT_MS });
      await field.type(text);
      await field.press("Enter");
    }
    return {};
  },
  async hold({ ms }) {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return {};
  },
  // The browser is killed, all of it, and started again on what it left.
  async kill() {
    const gone = new Promise((resolve) => browser.process().once("exit", resolve));
    browser.process().kill("SIGKILL");
    await gone;
    await start();
    return {};
  },
  // Firefox has the tabs of one site in one process: none dies alone but by being closed.
  async crash(at) {
    await tab(at).close();
    return {};
  },
  async close(at) {
    await tab(at).close();
    return {};
  },
  // No page may be open that uses the database.
  async downgrade(how) {
    const page = await browser.newPage();
    await page.goto(icon, { waitUntil: "domcontentloaded", timeout: WAIT_MS });
    const left = await page.evaluate(downgrade, how);
    await page.close();
    return { left };
  },
  async end() {
    await browser.close();
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
    for (const page of tabs) screens.push(await Promise.race([page?.evaluate(() => document.body.innerText).catch(() => "gone"), new Promise((late) => setTimeout(late, 2_000, "silent"))]));
    answer = { ok: false, error: `${error}\nThe screens say: ${screens.join("\n----\n")}`, complaints: complaints.slice(-5) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
  if (deed === "end") process.exit(0);
}
await browser.close();
process.exit(1);
