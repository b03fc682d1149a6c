// Starts the page. What it needs that a browser may lack is named before anything else is tried.
//
// Nothing waits for anything that it does not need: the worker loads its own code, and the module is compiled as it comes, while the
// page's own code is still on its way.

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
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    // It is compiled once, for both.
    const compiled = WebAssembly.compileStreaming(fetch(new URL("holler_bg.wasm", import.meta.url))).then((module) => {
      worker.postMessage(module);
      performance.mark("compiled");
      return module;
    });
    const code = Promise.all([import("./holler.js"), import("./shell.js")]);
    const [module, [{ default: init, page }, { shell }]] = await Promise.all([compiled, code]);
    await init({ module_or_path: module });
    document.getElementById("main").replaceChildren();
    page(new URL(".", import.meta.url).href, shell, worker);
    performance.mark("started");
  } catch (error) {
    say(`Holler did not start: ${error.message}. Reload the page; if that does not help, tell who runs this server.`);
    throw error;
  }
}
