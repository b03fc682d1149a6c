// Starts the page. What it needs that a browser may lack is named before anything else is tried.
import init, { page } from "./holler.js";
import { shell } from "./shell.js";

const say = (text) => {
  const line = document.createElement("p");
  line.className = "loading";
  line.setAttribute("role", "alert");
  line.textContent = text;
  document.getElementById("main").replaceChildren(line);
};

const missing = ["WebAssembly", "Worker", "WebSocket", "AudioWorkletNode"].filter(
  (name) => !(name in globalThis),
);
if (missing.length > 0) {
  say(`This browser lacks what Holler needs (${missing.join(", ")}). Update it, or open this page in another one.`);
} else {
  try {
    // It loads its own code while the module is on its way, and gets that as soon as it is compiled: once, for both.
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    const module = await WebAssembly.compileStreaming(fetch(new URL("holler_bg.wasm", import.meta.url)));
    worker.postMessage(module);
    performance.mark("compiled");
    await init({ module_or_path: module });
    document.getElementById("main").replaceChildren();
    page(new URL(".", import.meta.url).href, shell, worker);
    performance.mark("started");
  } catch (error) {
    say(`Holler did not start: ${error.message}. Reload the page; if that does not help, tell who runs this server.`);
    throw error;
  }
}
