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

const missing = ["WebAssembly", "Worker", "WebSocket", "AudioWorkletNode", "AudioEncoder", "AudioDecoder"].filter(
  (name) => !(name in globalThis),
);
if (missing.length > 0) {
  say(`This browser lacks what Holler needs (${missing.join(", ")}). Update it, or open this page in another one.`);
} else {
  try {
    await init({ module_or_path: new URL("holler_bg.wasm", import.meta.url) });
    document.getElementById("main").replaceChildren();
    page(new URL(".", import.meta.url).href, shell);
  } catch (error) {
    say(`Holler did not start: ${error.message}. Reload the page; if that does not help, tell who runs this server.`);
    throw error;
  }
}
