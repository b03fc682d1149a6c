// Drives Debian's Firefox as drive.mjs drives Chromium: a line of JSON asks for a deed, a line answers. Its sound devices are
// those of the sound server that PULSE_SERVER names.
import { createInterface } from "node:readline";
import { writeFileSync } from "node:fs";
import { eavesdrop } from "./eavesdrop.mjs";
import { launch } from "./firefox-launch.mjs";

const settings = JSON.parse(process.argv[2]);
const { url } = settings;

const WAIT_MS = 20_000;
const browser = await launch(settings);
const page = (await browser.pages())[0] ?? (await browser.newPage());
const complaints = [];
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
await page.evaluateOnNewDocument(eavesdrop);

const find = (selector) => page.waitForSelector(selector, { visible: true, timeout: WAIT_MS });
const deeds = {
  async open() {
    const began = Date.now();
    await page.goto(url, { waitUntil: "domcontentloaded", timeout: WAIT_MS });
    await find("form, .card, nav.rooms");
    return { usable_ms: Date.now() - began };
  },
  async "sign-in"({ login, password }) {
    await (await find("[name=username]")).type(login);
    await (await find("[type=password]")).type(password);
    await page.keyboard.press("Enter");
    await find(".room-row");
    return {};
  },
  async click({ selector }) {
    await (await find(selector)).click();
    return {};
  },
  async press() {
    await (await find(".talk-button")).hover();
    await page.mouse.down();
    return {};
  },
  async release() {
    await page.mouse.up();
    return {};
  },
  // Waits for words on the screen.
  async "wait-for"({ words }) {
    const shown = (words) => document.body.innerText.includes(words);
    await page.waitForFunction(shown, { timeout: WAIT_MS }, words);
    return {};
  },
  async listen() {
    await page.evaluate(() => ((globalThis.heard = []), (globalThis.captured = []), (globalThis.listening = true), undefined));
    return {};
  },
  // Waits until the loudspeaker was heard and is silent, and writes what was heard as samples of 32 bits.
  async heard({ out }) {
    const silent = () => globalThis.heard.length > 5 && globalThis.heard.slice(-5).every((block) => block.every((sample) => sample === 0));
    await page.waitForFunction(silent, { timeout: WAIT_MS, polling: 100 });
    writeFileSync(out, Buffer.from(await page.evaluate(() => ((globalThis.listening = false), globalThis.packed(globalThis.heard))), "base64"));
    return {};
  },
  // What the microphone gave since it was listened to.
  async captured({ out }) {
    writeFileSync(out, Buffer.from(await page.evaluate(() => globalThis.packed(globalThis.captured)), "base64"));
    return {};
  },
  // How long a press took until its first frame was sent, in the page's own words.
  async first() {
    await (await find("button.link")).click();
    await find(".figures");
    const rows = await page.$$eval(".figures div", (rows) => rows.map((row) => [row.children[0].innerText, row.children[1].innerText]));
    return { figures: Object.fromEntries(rows) };
  },
  async complaints() {
    return { complaints };
  },
  async end() {
    await browser.close();
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: deed, ...details } = JSON.parse(line);
  let answer;
  try {
    answer = { ok: true, ...(await deeds[deed](details)) };
  } catch (error) {
    const shown = await page.evaluate(() => document.body.innerText).catch(() => "");
    answer = { ok: false, error: `${error}\nThe screen says: ${shown}`, complaints };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
  if (deed === "end") process.exit(0);
}
await browser.close();
process.exit(1);
