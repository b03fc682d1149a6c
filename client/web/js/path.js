// Voice as datagrams: one WebTransport session. What is to be sent leaves at once or never; what comes is told as it comes.

// A frame that waited for so long is of no use to anybody, ms.
const STALE = 200;
// Datagrams that may wait in each direction: bursts of some talkers.
const WAITING = 64;

const bytes = (base64url) =>
  Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));

// Opens a path. `told` hears nothing once it is open, bytes for each datagram, a text when it failed or ended.
export const open = (url, session, secret, certificates, told) => {
  let transport;
  let out;
  let waiting = 0;
  const run = async () => {
    transport = new WebTransport(url, {
      requireUnreliable: true,
      congestionControl: "low-latency",
      serverCertificateHashes: certificates.map((hash) => ({ algorithm: "sha-256", value: bytes(hash) })),
    });
    await transport.ready;
    const { readable, writable } = await transport.createBidirectionalStream();
    const proof = session.match(/../g).map((byte) => parseInt(byte, 16));
    await writable.getWriter().write(new Uint8Array([...proof, ...bytes(secret)]));
    const { value: answer } = await readable.getReader().read();
    if (answer?.[0] !== 1) throw "the server did not take the secret";
    const { datagrams } = transport;
    Object.assign(datagrams, {
      incomingHighWaterMark: WAITING, outgoingHighWaterMark: WAITING, incomingMaxAge: STALE, outgoingMaxAge: STALE,
    });
    out = (datagrams.writable ?? datagrams.createWritable()).getWriter();
    const into = datagrams.readable.getReader();
    told();
    for (;;) {
      const { value, done } = await into.read();
      if (done) throw "it was closed";
      told(value);
    }
  };
  const end = (error) => {
    told(`${error}`);
    close();
  };
  const close = () => {
    told = () => {};
    transport?.close();
  };
  run().catch(end);
  return {
    send: (datagram) => {
      if (!out || waiting >= WAITING) return;
      waiting += 1;
      // What is given lies in memory that changes.
      out.write(datagram.slice()).catch(() => {}).finally(() => (waiting -= 1));
    },
    close,
  };
};
