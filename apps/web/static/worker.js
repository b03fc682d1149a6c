// Starts the worker with the module that the page compiled.
import init, { worker } from "./holler.js";

addEventListener("message", async ({ data }) => {
  await init({ module_or_path: data });
  worker();
}, { once: true });
