// Drives Debian's Chromium for `./x test browser`: does what each line of standard input asks for, and answers each with a line.
// Every line is JSON. What is asked for is in `deeds`; an answer has "ok", or "error" with what went wrong.
import { createInterface } from "node:readline";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { anotherBuild } from "./another-build.mjs";
import { eavesdrop } from "./eavesdrop.mjs";

const { modules, program: executablePath, profile, url, speech } = JSON.parse(process.argv[2]);
const require = createRequire(`${modules}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const WAIT = { timeout: 20_000 };
const args = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=user-gesture-required",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  ...(speech ? [`--use-file-for-fake-audio-capture=${speech}%noloop`] : []),
];

let build;
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  args,
  ignoreDefaultArgs: ["--mute-audio", "--headless", "--headless=old"],
  headless: false,
  viewport: { width: 1280, height: 800 },
});
await context.addInitScript(eavesdrop);
// The recording begins when the microphone is opened: that is at the first press, unless a deed says otherwise.
await context.addInitScript(() => {
  if (location.protocol === "https:" && !localStorage.getItem("holler-settings")) localStorage.setItem("holler-settings", "ready=false");
});
const page = context.pages()[0] ?? (await context.newPage());
const complaints = [];
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));

// How the start went, each in ms after the navigation began.
const stages = () => {
  const mark = (name) => performance.getEntriesByName(name)[0]?.startTime;
  const module = performance.getEntriesByType("resource").find(({ name }) => name.endsWith(".wasm"));
  const words = {
    "the page came": performance.getEntriesByType("navigation")[0].responseEnd,
    "the module was asked for": module?.requestStart,
    "it came": module?.responseEnd,
    "it was compiled": mark("compiled"),
    "the page ran": mark("started"),
    "first paint": mark("first-paint"),
    "the worker spoke": globalThis.spoke,
  };
  return Object.entries(words).map(([what, at]) => `${what} ${at === undefined ? "?" : Math.round(at)}`).join(", ");
};
const state = () => page.locator(".talk-state").innerText(WAIT);
const deeds = {
  // Opens the page; how long until the first screen can be used, ms.
  async open({ link }) {
    const began = Date.now();
    // Another link to the same page would only change what stands behind #.
    if (link) await page.goto("about:blank", WAIT);
    await page.goto(link ?? url, WAIT);
    await page.locator("form, .card, nav.rooms").first().waitFor(WAIT);
    return { usable_ms: Date.now() - began, stages: await page.evaluate(stages) };
  },
  async "sign-in"({ login, password, wait }) {
    await page.getByLabel("Sign-in name").fill(login);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.locator(wait ?? ".room-row").first().waitFor(WAIT);
    return {};
  },
  async room({ name }) {
    await page.locator(".room-row", { hasText: name }).click();
    await page.locator(".talk-state", { hasText: /to talk/ }).waitFor(WAIT);
    return {};
  },
  async fill({ label, text }) {
    await page.getByLabel(label).fill(text);
    return {};
  },
  async button({ name }) {
    await page.getByRole("button", { name }).first().click(WAIT);
    return {};
  },
  // Goes to it with the tab key alone.
  async tab({ name, presses, selector }) {
    for (let press = 0; press < presses; press++) {
      await page.keyboard.press("Tab");
      const there = await page.evaluate(
        ({ name, selector }) => {
          const at = document.activeElement;
          const words = at === document.body ? "" : (at?.ariaLabel ?? at?.innerText ?? "");
          return words.includes(name) && (!selector || at.matches(selector));
        },
        { name, selector },
      );
      if (there) return { presses: press + 1 };
    }
    throw new Error(`${presses} tabs did not lead to ${name}`);
  },
  async key({ key }) {
    await page.keyboard.press(key);
    return {};
  },
  // Puts a finger on it and leaves it there.
  async hold({ selector }) {
    await page.locator(selector).first().hover(WAIT);
    await page.mouse.down();
    return {};
  },
  // Holds the button until what the microphone hears is over.
  async press({ key }) {
    if (key) await page.keyboard.down(key);
    else {
      await page.locator(".talk-button").hover();
      await page.mouse.down();
    }
    return {};
  },
  async release({ key }) {
    if (key) await page.keyboard.up(key);
    else await page.mouse.up();
    return {};
  },
  async "wait-for"({ words, pattern, at, ms }) {
    const hasText = pattern ? new RegExp(pattern) : words;
    await page.locator(at ?? ".talk-state, .talk-hint, .banner, .item, .sign-in, .link, .person, .empty-words, .who, .device, .card .button").filter({ hasText }).first().waitFor({ timeout: ms ?? WAIT.timeout });
    return { state: (await page.locator(".talk-state").count()) ? await state() : "" };
  },
  async send({ text }) {
    await page.getByLabel("Message").fill(text);
    await page.getByLabel("Message").press("Enter");
    await page.locator(".item:not(.waiting)", { hasText: text }).last().waitFor(WAIT);
    return {};
  },
  // Writes a text and leaves it to its way.
  async write({ text }) {
    await page.getByLabel("Message").fill(text);
    await page.getByLabel("Message").press("Enter");
    return {};
  },
  // The page hears something of its worker that only a broken disk would make it say.
  async "worker-says"({ message }) {
    await page.evaluate((data) => globalThis.worker.dispatchEvent(new MessageEvent("message", { data })), JSON.stringify(message));
    return {};
  },
  // What was heard since it was listened to gave way to another room, as the worker would say it.
  async "gave-way"() {
    await page.evaluate(() => {
      globalThis.listening = false;
      const heard = globalThis.told.map((text) => JSON.parse(text)).findLast(({ Notice }) => Notice?.Heard);
      heard.Notice.Heard.state = "Missed";
      globalThis.worker.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(heard) }));
    });
    return {};
  },
  async listen() {
    await page.evaluate(() => ((globalThis.heard = []), (globalThis.captured = []), (globalThis.told = []), (globalThis.listening = true), (globalThis.tasks = [])));
    return {};
  },
  // Waits until the loudspeaker is silent, and writes what was heard as samples of 32 bits.
  async heard({ out }) {
    // Silence after something: what is played again begins when it was fetched.
    const silent = () => globalThis.heard.length > 5 && globalThis.heard.slice(-5).every((block) => block.every((sample) => sample === 0));
    for (const late = Date.now() + WAIT.timeout; !(await page.evaluate(silent)); ) {
      if (Date.now() > late) throw new Error("the loudspeaker did not fall silent");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const { blocks, tasks } = await page.evaluate(() => {
      globalThis.listening = false;
      return { blocks: globalThis.packed(globalThis.heard), tasks: globalThis.tasks };
    });
    writeFileSync(out, Buffer.from(blocks, "base64"));
    return { long_tasks_ms: tasks };
  },
  // How much was heard since it was listened to, of which nothing was expected; and whether anything is said to have been missed.
  async unheard() {
    const blocks = await page.evaluate(() => ((globalThis.listening = false), globalThis.heard.length));
    return { blocks, missed: await page.getByText(/Play missed/).isVisible() };
  },
  // Waits until the microphone gave so much since it was listened to: blocks of it, to the one that is full.
  async "captured-for"({ ms }) {
    await page.waitForFunction((blocks) => globalThis.captured.length >= blocks, Math.ceil((ms * 48) / 16_384), WAIT);
    return {};
  },
  // What the microphone gave since it was listened to, as samples of 32 bits.
  async captured({ out }) {
    writeFileSync(out, Buffer.from(await page.evaluate(() => globalThis.packed(globalThis.captured)), "base64"));
    return {};
  },
  // The figures of connection and sound, as they are shown.
  async quality() {
    await page.locator("button.link").click(WAIT);
    await page.locator(".figures").first().waitFor(WAIT);
    const rows = await page.locator(".figures div").evaluateAll((rows) => rows.map((row) => [row.children[0].innerText, row.children[1].innerText]));
    return { figures: Object.fromEntries(rows) };
  },
  // A phone in the hand: narrow, and touched instead of clicked.
  async phone({ on }) {
    const session = await context.newCDPSession(page);
    await session.send("Emulation.setTouchEmulationEnabled", { enabled: on, maxTouchPoints: on ? 5 : 1 });
    await page.setViewportSize(on ? { width: 360, height: 740 } : { width: 1280, height: 800 });
    globalThis.fingers = session;
    return {};
  },
  // Puts a finger of glass-and-thumb kind on it, or lifts it.
  async touch({ selector }) {
    const { x, y, width, height } = await page.locator(selector).first().boundingBox(WAIT);
    const touchPoints = [{ x: x + width / 2, y: y + height / 2 }];
    await globalThis.fingers.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints });
    return {};
  },
  async lift() {
    await globalThis.fingers.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
    return {};
  },
  // What can be touched and is smaller than a thumb, 44 px either way; and whether the page is wider than the screen.
  async targets() {
    return page.evaluate(() => {
      const small = [];
      for (const one of document.querySelectorAll("button, select, input:not([type=checkbox]), label.check, a")) {
        const { width, height } = one.getBoundingClientRect();
        const name = one.ariaLabel || one.innerText || one.id || one.className;
        if (width > 0 && (height < 43.5 || width < 43.5)) small.push(`${name}: ${width.toFixed(0)} × ${height.toFixed(0)}`);
      }
      return { small, wider: document.documentElement.scrollWidth > innerWidth };
    });
  },
  async axe() {
    // By the protocol, not by a script tag: the page's policy lets no foreign script in.
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    return { violations: violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" · ")}`) };
  },
  async look({ out, width, height, scheme, contrast }) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme, contrast: contrast ?? null, reducedMotion: "reduce" });
    await page.screenshot({ path: out });
    return {};
  },
  // A browser whose workers have no WebCodecs, from the next load on, or one that has them again.
  async "without-webcodecs"({ on }) {
    await page.evaluate((on) => (on ? sessionStorage.setItem("without-webcodecs", "on") : sessionStorage.clear()), on);
    page.removeAllListeners("worker");
    if (!on) return {};
    page.on("worker", async (worker) => {
      const names = ["AudioEncoder", "AudioDecoder", "AudioData", "EncodedAudioChunk"];
      await worker.evaluate((names) => names.forEach((name) => delete globalThis[name]), names);
      await page.evaluate(() => globalThis.worker.letGo());
    });
    return {};
  },
  // Whether the codec of its own was loaded.
  async "own-codec"() {
    const loaded = page.workers().map((worker) => worker.evaluate(() => globalThis.AudioEncoder?.toString().includes("[native code]") === false));
    return { own: (await Promise.all(loaded)).some(Boolean) };
  },
  // Whether the microphone is opened ahead of a press, from the next load on.
  async ready({ on }) {
    await page.evaluate((on) => localStorage.setItem("holler-settings", `ready=${on}`), on);
    return {};
  },
  // How often a microphone was opened.
  async microphones() {
    return page.evaluate(() => ({ opened: globalThis.microphones.length, opening_ms: globalThis.opening_ms ?? 0 }));
  },
  async "until-opened"({ after }) {
    await page.waitForFunction((after) => globalThis.microphones.length > after, after, WAIT);
    return {};
  },
  // The microphone is pulled out: its track ends, and says so.
  async unplug() {
    await page.evaluate(() => {
      for (const track of globalThis.microphones.at(-1).getTracks()) {
        track.stop();
        track.dispatchEvent(new Event("ended"));
      }
    });
    return {};
  },
  // Waits until something comes of the microphone that was opened last.
  async captures() {
    await page.evaluate(() => ((globalThis.captured = []), (globalThis.listening = true)));
    await page.waitForFunction(() => globalThis.captured.length > 0, undefined, WAIT);
    await page.evaluate(() => (globalThis.listening = false));
    return {};
  },
  // From now on it is noted what the sound thread gives of each burst: blocks of samples, until it says that no more come.
  async "note-blocks"() {
    await page.workers()[0].evaluate(() => {
      globalThis.noted = [0];
      if (globalThis.notes) return;
      globalThis.notes = new WeakSet();
      const post = MessagePort.prototype.postMessage;
      MessagePort.prototype.postMessage = function (message, ...rest) {
        if (message?.record && !globalThis.notes.has(this)) {
          globalThis.notes.add(this);
          this.addEventListener("message", ({ data }) => {
            if (data instanceof Float32Array) globalThis.noted[globalThis.noted.length - 1]++;
            else globalThis.noted.push(0);
          });
        }
        return post.call(this, message, ...rest);
      };
    });
    return {};
  },
  // How many blocks each burst had whose end was told since.
  async noted() {
    const bursts = await page.workers()[0].evaluate(() => globalThis.noted.filter((blocks) => blocks > 0));
    return { bursts };
  },
  // Waits until so many wake locks are held; how often one was asked for.
  async "wake-locks"({ held }) {
    const all = () => globalThis.locks.filter(({ released }) => !released).length;
    await page.waitForFunction((held) => globalThis.locks.filter(({ released }) => !released).length === held, held, WAIT).catch(async () => {
      throw new Error(`expected ${held} wake locks, found ${await page.evaluate(all)}`);
    });
    return { asked: await page.evaluate(() => globalThis.locks.length) };
  },
  // The page looks again at whether it is seen.
  async "shown-again"() {
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    return {};
  },
  // The system has one microphone more, and says so.
  async "plug-in"({ name }) {
    await page.evaluate((label) => {
      const devices = navigator.mediaDevices;
      const known = devices.enumerateDevices.bind(devices);
      devices.enumerateDevices = async () => [...(await known()), { kind: "audioinput", deviceId: "plugged", label }];
      devices.dispatchEvent(new Event("devicechange"));
    }, name);
    return {};
  },
  // Waits until it can be chosen.
  async offered({ name }) {
    await page.locator("option", { hasText: name }).first().waitFor({ ...WAIT, state: "attached" });
    return {};
  },
  // No microphone is given from now on, until the page is loaded anew.
  async refuse({ error }) {
    await page.evaluate((error) => (navigator.mediaDevices.getUserMedia = async () => Promise.reject(new DOMException("", error))), error);
    // What is open already is let go, as a refusal does.
    return {};
  },
  // A slider is drawn to a value.
  async slide({ selector, to }) {
    await page.locator(selector).first().fill(to, WAIT);
    return {};
  },
  // A button of a headset.
  async media({ button }) {
    await page.evaluate((button) => globalThis.media[button](), button);
    return {};
  },
  // The room that is looked at gets so many members and events a second, told to the page as its worker tells them, and so many
  // events of the past; it is scrolled up and down meanwhile. How the main thread and the frames of the screen did.
  async crowd({ members, every_s, seconds, past }) {
    return page.evaluate(
      async ({ members, every_s, seconds, past }) => {
        const { directory, event } = globalThis.said;
        const digits = "0123456789abcdefghjkmnpqrstvwxyz";
        const id = (of, n) => {
          let [text, rest] = ["", n];
          for (let place = 0; place < 5; place++) [text, rest] = [digits[rest % 32] + text, Math.floor(rest / 32)];
          return of.slice(0, -8) + text + of.slice(-3);
        };
        const tell = (message) => globalThis.worker.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(message) }));
        const [user, people] = [event.user, []];
        for (let n = 0; n < members; n++) people.push({ ...directory.people[0], id: id(user, n), name: `Member ${n}` });
        tell({ Directory: { ...directory, people: [...directory.people, ...people] } });
        tell({ Notice: { PresenceRoom: { room: event.room, people: people.map(({ id }) => id) } } });
        const make = (seq, n) => ({ ...event, seq, user: people[n % members].id, client_id: id(event.client_id, n), body: { kind: "message.posted", text: `What member ${n % members} has to say, number ${n}` } });
        let seq = event.seq;
        if (past > 0) {
          const events = [];
          for (let n = 0; n < past; n++) events.push(make(++seq, n));
          for (let at = 0; at < past; at += 250) {
            for (const one of events.slice(at, at + 250)) tell({ Notice: { Event: one } });
            await new Promise((resolve) => setTimeout(resolve));
          }
        }
        const list = document.querySelector(".timeline");
        await new Promise((resolve) => setTimeout(resolve, 500));
        globalThis.tasks = [];
        const frames = [];
        const end = performance.now() + seconds * 1000;
        let [last, sent, began] = [performance.now(), 0, performance.now()];
        await new Promise((resolve) => {
          const frame = (now) => {
            frames.push(now - last);
            last = now;
            while (every_s > 0 && sent < ((now - began) / 1000) * every_s) tell({ Notice: { Event: make(++seq, sent++) } });
            const reach = list.scrollHeight - list.clientHeight;
            list.scrollTop = (-reach / 2) * (1 - Math.cos((now - began) / 700));
            if (now < end) requestAnimationFrame(frame);
            else resolve();
          };
          requestAnimationFrame(frame);
        });
        frames.sort((a, b) => a - b);
        const tasks = globalThis.tasks.map(Math.round);
        return { frames: frames.length, p95_ms: Math.round(frames[Math.floor(frames.length * 0.95)]), worst_ms: Math.round(frames.at(-1)), long_tasks_ms: tasks, items: document.querySelectorAll(".item").length, height: list.scrollHeight };
      },
      { members, every_s, seconds, past },
    );
  },
  // What the worker told of the burst that was heard last is told so often more, each time of another burst: what the page holds
  // after the first part of them, and after all.
  async day({ bursts, first }) {
    const session = await context.newCDPSession(page);
    const hear = (from, to) =>
      page.evaluate(
        async ({ from, to }) => {
          globalThis.listening = false;
          const events = globalThis.told.map((text) => JSON.parse(text).Notice?.Event).filter(Boolean);
          const burst = events.find(({ body }) => body.kind === "burst.started").body.header.burst;
          globalThis.seq ??= Math.max(...events.map(({ seq }) => seq));
          for (let n = from; n < to; n++) {
            const own = burst.slice(0, -6) + String(n).padStart(6, "0");
            for (const text of globalThis.told) {
              const message = JSON.parse(text.replaceAll(burst, own));
              if (message.Notice?.Event) message.Notice.Event.seq = ++globalThis.seq;
              globalThis.worker.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(message) }));
            }
            await new Promise((resolve) => requestAnimationFrame(resolve));
          }
          return globalThis.told.length;
        },
        { from, to },
      );
    const held = async () => {
      await session.send("HeapProfiler.collectGarbage");
      const { usedSize, backingStorageSize } = await session.send("Runtime.getHeapUsage");
      const { nodes, jsEventListeners: listeners } = await session.send("Memory.getDOMCounters");
      return { script_kib: Math.round(usedSize / 1024), buffers_kib: Math.round((backingStorageSize ?? 0) / 1024), nodes, listeners };
    };
    await hear(0, first);
    const before = await held();
    const messages = await hear(first, bursts);
    return { messages, before, after: await held(), items: await page.locator(".item.burst").count() };
  },
  // The page is left.
  async away() {
    await page.goto("about:blank", WAIT);
    return {};
  },
  async complaints() {
    return { complaints };
  },
  async choose({ label, value }) {
    await page.getByLabel(label).selectOption(value);
    return {};
  },
  async count({ selector }) {
    return { count: await page.locator(selector).count() };
  },
  // What is saved as a file when this button is pressed.
  async saved({ name }) {
    const [download] = await Promise.all([page.waitForEvent("download", WAIT), page.getByRole("button", { name }).click(WAIT)]);
    return { name: download.suggestedFilename(), text: readFileSync(await download.path(), "utf8") };
  },
  async attribute({ selector, name }) {
    return { value: await page.locator(selector).first().getAttribute(name, WAIT) };
  },
  async value({ selector }) {
    return { value: await page.locator(selector).first().inputValue(WAIT) };
  },
  async address() {
    return { address: page.url() };
  },
  async gone({ selector }) {
    await page.locator(selector).first().waitFor({ ...WAIT, state: "detached" });
    return {};
  },
  async text({ selector }) {
    return { text: await page.locator(selector).first().innerText(WAIT) };
  },
  async click({ selector }) {
    await page.locator(selector).first().click(WAIT);
    return {};
  },
  async blur() {
    await page.evaluate(() => globalThis.dispatchEvent(new Event("blur")));
    return {};
  },
  async reload() {
    await page.reload(WAIT);
    await page.locator("form, .room-row").first().waitFor(WAIT);
    return {};
  },
  // The service worker's files, once it has them all.
  async kept() {
    return page.evaluate(async () => {
      await navigator.serviceWorker.ready;
      const names = (await caches.keys()).filter((name) => name.startsWith("holler-"));
      const files = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
      const controlled = navigator.serviceWorker.controller !== null;
      return { names, files: files.flat().map(({ url }) => new URL(url).pathname), controlled };
    });
  },
  // A push message comes for the service worker, and this is what it shows.
  async pushed({ data }) {
    const origin = new URL(page.url()).origin;
    await context.grantPermissions(["notifications"], { origin });
    const session = await context.newCDPSession(page);
    const found = new Promise((resolve) =>
      session.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) =>
        registrations.filter(({ scopeURL }) => scopeURL.startsWith(origin)).forEach(resolve),
      ),
    );
    await page.evaluate(async () => {
      for (const earlier of await (await navigator.serviceWorker.ready).getNotifications()) earlier.close();
    });
    await session.send("ServiceWorker.enable");
    const { registrationId } = await found;
    await session.send("ServiceWorker.deliverPushMessage", { origin, registrationId, data: JSON.stringify(data) });
    const notices = () =>
      page.evaluate(async (tag) => {
        const found = await (await navigator.serviceWorker.ready).getNotifications({ tag });
        return found.map(({ title, body, tag, lang, data }) => ({ title, body, tag, lang, data }));
      }, data.tag);
    for (const late = Date.now() + WAIT.timeout; Date.now() < late; await new Promise((resolve) => setTimeout(resolve, 50))) {
      const shown = await notices();
      if (shown.length > 0) return { shown };
    }
    throw new Error("no notification was shown");
  },
  // From here on this page is another build of the same client: see another-build.mjs.
  async "through"({ certificate, key }) {
    build = await anotherBuild(url, { cert: readFileSync(certificate), key: readFileSync(key) });
    await page.goto(build.url, WAIT);
    await page.locator("form").first().waitFor(WAIT);
    return {};
  },
  // The server was upgraded; the page looks for it, and says so.
  async "another-build"() {
    build.next = true;
    await page.evaluate(async () => (await navigator.serviceWorker.ready).update());
    await page.locator(".banner", { hasText: "newer version" }).waitFor(WAIT);
    return {};
  },
  // What the page is made of, and whether a new version waits.
  async build() {
    return page.evaluate(async () => ({
      script: document.querySelector("script").src,
      waits: (await navigator.serviceWorker.ready).waiting !== null,
    }));
  },
  // Presses it while the mouse holds something else.
  async poke({ name }) {
    await page.getByRole("button", { name }).first().evaluate((button) => button.click());
    return {};
  },
  // The page was loaded anew from the other build.
  async "taken-over"() {
    const fresh = (name) => document.querySelector("script")?.src.includes(name);
    await page.waitForFunction(fresh, build.version, WAIT);
    await page.locator("form, .room-row").first().waitFor(WAIT);
    return {};
  },
  async offline({ offline }) {
    await context.setOffline(offline);
    return {};
  },
  async end() {
    await context.close();
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: deed, ...details } = JSON.parse(line);
  let answer;
  try {
    answer = { ok: true, ...(await deeds[deed](details)) };
  } catch (error) {
    // What the screen says tells more than what it does not say.
    const shown = await page.locator("body").innerText().catch(() => "");
    answer = { ok: false, error: `${error}\nThe screen says: ${shown}`, complaints };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
  if (deed === "end") process.exit(0);
}
await context.close();
process.exit(1);
