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
          if (globalThis.listening) globalThis.heard.push(Array.from(event.inputBuffer.getChannelData(0)));
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
        if (globalThis.listening) globalThis.captured.push(Array.from(event.inputBuffer.getChannelData(0)));
      };
      connect.call(this, tap);
      connect.call(tap, this.context.destination);
    }
    return connect.call(this, target, ...rest);
  };
  // Every microphone that was opened.
  globalThis.microphones = [];
  const open = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
  if (open)
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const stream = await open(wanted);
      globalThis.microphones.push(stream);
      return stream;
    };
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
  const Worker = globalThis.Worker;
  globalThis.Worker = class extends Worker {
    constructor(...args) {
      super(...args);
      globalThis.worker = this;
      this.addEventListener("message", ({ data, isTrusted }) => {
        if (!isTrusted || typeof data !== "string") return;
        for (const message of data.split("\n").map((line) => JSON.parse(line))) {
          if (message.Directory) globalThis.said.directory = message.Directory;
          if (message.Notice?.Event) globalThis.said.event = message.Notice.Event;
          if (message.Notice?.PresenceRoom) globalThis.said.people = message.Notice.PresenceRoom;
        }
      });
    }
  };
  // Long tasks of the main thread, ms.
  globalThis.tasks = [];
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) globalThis.tasks.push(task.duration);
  }).observe({ type: "longtask", buffered: true });
};
