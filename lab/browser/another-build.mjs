// The server as it is, under another address of this machine, and when told (`next`) as if it had been upgraded: the same client
// under another version. Everything passes through; in the two texts that name the version it is changed, with the page's digest.
import { createHash } from "node:crypto";
import { createServer, request } from "node:https";
import { connect } from "node:tls";

const OTHER = "0123456789abcdef";

export async function anotherBuild(target, tls) {
  const { hostname, port } = new URL(target);
  const trust = { hostname, port, host: hostname, servername: "localhost", rejectUnauthorized: false };
  const page = await text(trust, "/");
  const version = page.match(/\/app\/([0-9a-f]+)\//)[1];
  const renamed = (words) => words.replaceAll(version, OTHER);
  const digest = (words) => `sha256-${createHash("sha256").update(words).digest("base64")}`;
  // Whether the server answers what is no file of the page.
  let answering = true;
  const sockets = new Set();
  const build = {
    next: false,
    version: OTHER,
    // The end of the name of a file that comes as something else than was built.
    spoilt: null,
    answers(on) {
      answering = on;
      if (!on) sockets.forEach((socket) => socket.destroy());
    },
  };

  const server = createServer(tls, async (asked, answer) => {
    if (!answering && asked.url.startsWith("/api/")) return answer.destroy();
    if (build.spoilt && asked.url.endsWith(build.spoilt)) return answer.writeHead(200, { "content-type": "text/plain" }).end("spoilt");
    const changed = build.next && (asked.url === "/" || asked.url === "/service-worker.js");
    const headers = { ...asked.headers, ...(changed && { "accept-encoding": "identity", "if-none-match": "" }) };
    const path = build.next ? asked.url.replace(OTHER, version) : asked.url;
    const passed = request({ ...trust, path, method: asked.method, headers }, async (got) => {
      if (!changed) {
        answer.writeHead(got.statusCode, got.headers);
        got.pipe(answer);
        return;
      }
      let body = renamed(await all(got));
      if (asked.url !== "/") body = body.replace(digest(page), digest(renamed(page)));
      const { "content-length": _, etag, ...kept } = got.headers;
      answer.writeHead(got.statusCode, { ...kept, ...(etag && { etag: renamed(etag) }) });
      answer.end(asked.method === "HEAD" ? undefined : body);
    });
    passed.on("error", () => answer.destroy());
    asked.pipe(passed);
  });
  server.on("upgrade", (asked, socket, head) => {
    if (!answering) return socket.destroy();
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    const lines = [`GET ${asked.url} HTTP/1.1`];
    for (let at = 0; at < asked.rawHeaders.length; at += 2) lines.push(`${asked.rawHeaders[at]}: ${asked.rawHeaders[at + 1]}`);
    const other = connect(trust, () => {
      other.write(`${lines.join("\r\n")}\r\n\r\n`);
      other.write(head);
      other.pipe(socket);
      socket.pipe(other);
    });
    for (const [one, peer] of [[other, socket], [socket, other]]) {
      one.on("error", () => peer.destroy());
      one.on("close", () => peer.destroy());
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  server.unref();
  build.url = `https://localhost:${server.address().port}/`;
  return build;
}

async function all(stream) {
  stream.setEncoding("utf8");
  let body = "";
  for await (const part of stream) body += part;
  return body;
}

function text(trust, path) {
  return new Promise((resolve, reject) => {
    request({ ...trust, path }, (got) => all(got).then(resolve, reject)).on("error", reject).end();
  });
}
