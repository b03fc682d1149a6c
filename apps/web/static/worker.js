// Starts the worker with the module that the page compiled. What the page says meanwhile is kept: a message that nobody listens
// for is gone, and the ports to the sound thread come only once.
import init, { worker } from "./holler.js";
import { open } from "./path.js";

addEventListener("message", async ({ data }) => {
  const waiting = [];
  const keep = (event) => waiting.push(event);
  addEventListener("message", keep);
  if (!("AudioEncoder" in globalThis && "AudioDecoder" in globalThis)) await import("./opus.js");
  await init({ module_or_path: data });
  worker({ open });
  removeEventListener("message", keep);
  for (const { data, ports } of waiting) dispatchEvent(new MessageEvent("message", { data, ports: [...ports] }));
}, { once: true });
