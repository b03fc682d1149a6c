// WebCodecs for a worker of a browser that has none: the part of it that the codec uses (client/web/src/worker/codec.rs), over a
// module of its own with an Opus in Rust. Loaded by worker.js only where it is needed.
import init, { Decoder, Encoder } from "./opus_module.js";

class Chunk {
  constructor({ data }) {
    this.data = data;
    this.byteLength = data.length;
  }
  copyTo(target) {
    target.set(this.data);
  }
}

class Sound {
  constructor({ data }) {
    this.data = data;
    this.numberOfFrames = data.length;
  }
  copyTo(target) {
    target.set(this.data);
  }
  close() {}
}

// As WebCodecs does, it answers after the call: whoever calls may not be called meanwhile.
class Codec {
  constructor({ output, error }) {
    this.output = output;
    this.error = error;
  }
  later(work) {
    queueMicrotask(() => {
      if (!this.codec) return;
      let done;
      try {
        done = work();
      } catch (error) {
        this.close();
        return this.error(error);
      }
      this.output(done);
    });
  }
  async flush() {}
  close() {
    this.codec?.free();
    this.codec = null;
  }
}

class AudioEncoder extends Codec {
  configure({ bitrate, opus: { complexity, packetlossperc } }) {
    this.codec = new Encoder(bitrate, complexity, packetlossperc);
  }
  encode({ data }) {
    this.later(() => new Chunk({ data: this.codec.encode(data) }));
  }
}

class AudioDecoder extends Codec {
  configure() {
    this.codec = new Decoder();
  }
  decode({ data }) {
    this.later(() => new Sound({ data: this.codec.decode(data) }));
  }
}

await keep();
await init({ module_or_path: new URL("opus_module_bg.wasm", import.meta.url) });
Object.assign(globalThis, { AudioEncoder, AudioDecoder, AudioData: Sound, EncodedAudioChunk: Chunk });

// The service worker keeps what every browser needs; who needs this keeps it too, beside that, for a start without the network.
async function keep() {
  const version = new URL(import.meta.url).pathname.split("/").at(-2);
  const files = ["opus.js", "opus_module.js", "opus_module_bg.wasm"].map((name) => new URL(name, import.meta.url));
  try {
    const cache = await caches.open(`holler-${version}`);
    if (!(await cache.match(files.at(-1)))) await cache.addAll(files);
  } catch {
    // No room, no cache, or no network: it is loaded anew next time.
  }
}
