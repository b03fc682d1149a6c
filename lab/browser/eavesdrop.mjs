// What the page plays, as it goes to the loudspeaker: everything that is connected to a destination is heard here as well.
export const eavesdrop = () => {
  const connect = AudioNode.prototype.connect;
  const ears = new WeakMap();
  globalThis.heard = [];
  // What the browser gives of its microphone, before anything of ours has touched it.
  globalThis.captured = [];
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode && this instanceof AudioWorkletNode) {
      const context = this.context;
      if (!ears.has(context)) {
        const ear = context.createScriptProcessor(4096, 1, 1);
        ear.onaudioprocess = (event) => {
          const samples = event.inputBuffer.getChannelData(0);
          // What is waited for begins with a sound: the silence before it is not kept.
          if (globalThis.listening && (globalThis.heard.length > 0 || samples.some((sample) => sample !== 0))) globalThis.heard.push(samples.slice());
        };
        connect.call(ear, context.destination);
        ears.set(context, ear);
      }
      connect.call(this, ears.get(context));
    }
    if (this instanceof MediaStreamAudioSourceNode && target instanceof AudioWorkletNode) {
      // A long buffer: what a busy main thread does must not be taken for what the microphone did.
      const tap = this.context.createScriptProcessor(16384, 1, 1);
      tap.onaudioprocess = (event) => {
        if (globalThis.listening) globalThis.captured.push(event.inputBuffer.getChannelData(0).slice());
      };
      connect.call(this, tap);
      connect.call(tap, this.context.destination);
    }
    return connect.call(this, target, ...rest);
  };
  // Blocks of samples as a text that is quick to hand over: a list of numbers takes seconds on a busy machine.
  globalThis.packed = (blocks) => {
    let bytes = "";
    for (const block of blocks)
      for (let at = 0; at < block.length; at += 4096) bytes += String.fromCharCode(...new Uint8Array(block.slice(at, at + 4096).buffer));
    return btoa(bytes);
  };
  // Every microphone that was opened.
  globalThis.microphones = [];
  const open = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
  if (open)
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const began = performance.now();
      const stream = await open(wanted);
      globalThis.opening_ms = Math.round(performance.now() - began);
      globalThis.microphones.push(stream);
      return stream;
    };
  // Every lock that keeps the screen on. None of the system is asked for: a machine without a screen has none.
  globalThis.locks = [];
  Object.defineProperty(navigator, "wakeLock", {
    value: {
      async request() {
        const lock = { released: false, release: async () => void (lock.released = true) };
        globalThis.locks.push(lock);
        return lock;
      },
    },
  });
  // What the buttons of a headset would do.
  globalThis.media = {};
  const handle = navigator.mediaSession?.setActionHandler.bind(navigator.mediaSession);
  if (handle)
    navigator.mediaSession.setActionHandler = (button, pressed) => {
      globalThis.media[button] = pressed;
      handle(button, pressed);
    };
  // The page's worker, and what it said of the room's people and events last: a crowd is made of that.
  globalThis.said = {};
  // Everything that it said while it was listened to: a day of listening is made of that.
  globalThis.told = [];
  const Worker = globalThis.Worker;
  globalThis.Worker = class extends Worker {
    constructor(...args) {
      super(...args);
      globalThis.worker = this;
      // What it is told waits until the driver has taken something away from it.
      if (sessionStorage.getItem("without-webcodecs")) this.held = [];
      this.addEventListener("message", ({ data, isTrusted }) => {
        if (!isTrusted || typeof data !== "string") return;
        globalThis.spoke ??= performance.now();
        const lines = data.split("\n");
        if (globalThis.listening) globalThis.told.push(...lines);
        for (const message of lines.map((line) => JSON.parse(line))) {
          if (message.Directory) globalThis.said.directory = message.Directory;
          if (message.Notice?.Event) globalThis.said.event = message.Notice.Event;
          if (message.Notice?.PresenceRoom) globalThis.said.people = message.Notice.PresenceRoom;
        }
      });
    }
    postMessage(...args) {
      if (this.held) this.held.push(args);
      else super.postMessage(...args);
    }
    letGo() {
      const held = this.held ?? [];
      this.held = null;
      for (const args of held) super.postMessage(...args);
    }
  };
  // Long tasks of the main thread, ms.
  globalThis.tasks = [];
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) globalThis.tasks.push(task.duration);
  }).observe({ type: "longtask", buffered: true });
};
