// The sound thread's two ends: what is captured goes to the worker in blocks, what is played comes from it.
// Both sit at a port of their own that leads straight to the worker.

// Captures while it is told to, and gives blocks of the length that it is told.
class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = null;
    this.filled = 0;
    this.counts = null;
    this.port.onmessage = ({ data }) => {
      this.worker = data;
      this.worker.onmessage = ({ data }) => (data.record ? this.begin(data.record) : this.end());
    };
  }

  begin(samples) {
    this.block = new Float32Array(samples);
    this.filled = 0;
    // Samples that came; that should have come, had this been run for them; and that were nothing between samples of something.
    this.counts = { samples: 0, skipped: 0, silent: 0 };
    this.next = null;
    this.nothing = null;
  }

  // What was said until now still goes out, filled up with silence.
  end() {
    if (this.block && this.filled > 0) this.post();
    this.block = null;
    this.worker.postMessage(this.counts);
  }

  count(samples) {
    if (this.next !== null && currentFrame > this.next) this.counts.skipped += currentFrame - this.next;
    this.next = currentFrame + samples.length;
    this.counts.samples += samples.length;
    if (samples.some((sample) => sample !== 0)) {
      this.counts.silent += this.nothing ?? 0;
      this.nothing = 0;
    } else if (this.nothing !== null) this.nothing += samples.length;
  }

  post() {
    const block = this.block;
    this.block = new Float32Array(block.length);
    this.filled = 0;
    this.worker.postMessage(block, [block.buffer]);
  }

  process([[samples]]) {
    // Without a microphone there is no channel, and silence must not be taken for one.
    if (!this.block || !samples) return true;
    this.count(samples);
    for (let at = 0; at < samples.length; ) {
      const part = Math.min(samples.length - at, this.block.length - this.filled);
      this.block.set(samples.subarray(at, at + part), this.filled);
      this.filled += part;
      at += part;
      if (this.filled === this.block.length) this.post();
    }
    return true;
  }
}

// Plays what comes. It asks for the next frame just in time, so that what waits here stays short: all waiting is done in the
// jitter buffer, which knows how to shorten it. A frame that comes late makes it ask earlier from then on.
const AHEAD_START = 960; // 20 ms
const AHEAD_MAX = 2880; // 60 ms
const AHEAD_STEP = 240; // 5 ms

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ahead = AHEAD_START;
    this.reset();
    this.port.onmessage = ({ data }) => {
      this.worker = data;
      this.worker.onmessage = ({ data }) => this.take(data);
    };
  }

  reset() {
    this.frames = [];
    this.at = 0;
    this.queued = 0;
    this.on = false;
    this.asked = false;
    this.ending = false;
    this.dry = false;
  }

  take(data) {
    if (data instanceof Float32Array) {
      this.asked = false;
      this.frames.push(data);
      this.queued += data.length;
    } else if (data === "begin") {
      // What is left of a burst that has ended is still heard.
      if (!this.ending) this.reset();
      this.on = true;
      this.asked = this.ending = false;
    } else if (data === "wait") {
      // The jitter buffer has nothing: running dry is no fault of this end.
      this.waiting = true;
      return;
    } else if (data === "end") {
      this.ending = true;
    } else {
      this.reset();
    }
    this.waiting = false;
  }

  process(_, [[out]]) {
    if (!this.on) return true;
    let filled = 0;
    while (filled < out.length && this.frames.length > 0) {
      const frame = this.frames[0];
      const part = Math.min(out.length - filled, frame.length - this.at);
      out.set(frame.subarray(this.at, this.at + part), filled);
      filled += part;
      this.at += part;
      if (this.at === frame.length) {
        this.frames.shift();
        this.at = 0;
      }
    }
    this.queued -= filled;
    if (filled > 0) this.dry = false;
    else if (this.asked && !this.waiting && !this.ending && !this.dry) {
      this.dry = true;
      this.ahead = Math.min(this.ahead + AHEAD_STEP, AHEAD_MAX);
    }
    if (this.ending) {
      if (this.queued === 0) {
        this.reset();
        this.worker.postMessage(-1);
      }
    } else if (!this.asked && this.queued < this.ahead) {
      this.asked = true;
      this.worker.postMessage(this.queued);
    }
    return true;
  }
}

registerProcessor("holler-capture", Capture);
registerProcessor("holler-playback", Playback);
