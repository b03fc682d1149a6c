// The service worker: opens the app without the network, and shows notifications while no page is open.
//
// It keeps exactly the files of one build, each checked by its SHA-256, and answers with those: a page never gets parts of another
// build. A new build comes as a new service worker, which waits until every page has agreed to go on with it.
"use strict";

const VERSION = "{version}";
// Addresses and their SHA-256.
const FILES = JSON.parse(`{files}`);
const BASE = `/app/${VERSION}/`;
const CACHE = `holler-${VERSION}`;
/// What outlives a version: the language of notifications.
const SETTINGS = "settings";
/// Where the page is served.
const PAGES = new Set(["/", "/invite", "/reset"]);

addEventListener("install", (event) => {
  event.waitUntil(install());
});

async function install() {
  const cache = await caches.open(CACHE);
  try {
    await Promise.all(
      FILES.map(async ([url, integrity]) => {
        // What the page loaded comes from the browser's cache; the page itself has no name of its own.
        const request = new Request(url, { integrity, cache: url === "/" ? "no-store" : "default" });
        const response = await fetch(request);
        if (!response.ok) throw new Error(`${url}: ${response.status}`);
        await cache.put(url, response);
      }),
    );
  } catch (error) {
    // Another build came in between: the browser tries again, with that one.
    await caches.delete(CACHE);
    throw error;
  }
}

addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      const names = await caches.keys();
      await Promise.all(
        names.filter((name) => name.startsWith("holler-") && name !== CACHE).map((name) => caches.delete(name)),
      );
    })(),
  );
});

addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate" && PAGES.has(url.pathname)) {
    event.respondWith(kept("/", request));
  } else if (url.pathname.startsWith(BASE)) {
    event.respondWith(kept(url.pathname, request));
  }
});

// The browser may have thrown the files away; then the server has them.
async function kept(name, request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(name)) ?? fetch(request);
}

addEventListener("message", (event) => {
  const { data } = event;
  if (data === "take-over") {
    event.waitUntil(skipWaiting());
  } else if (typeof data?.language === "string") {
    event.waitUntil(
      caches.open(SETTINGS).then((cache) => cache.put("/language", new Response(data.language.slice(0, 35)))),
    );
  }
});

const WORDS = {
  en: {
    dir: "ltr",
    emergency: "EMERGENCY",
    spoke: "spoke",
    wrote: "wrote a message",
    in: (what, room) => (room ? `${what} in ${room}` : what),
    more: (events) => `${events} new`,
    something: "There is something new",
  },
  ar: {
    dir: "rtl",
    emergency: "حالة طوارئ",
    spoke: "تحدّث",
    wrote: "كتب رسالة",
    in: (what, room) => (room ? `${what} في ${room}` : what),
    more: (events) => `${events} جديدة`,
    something: "هناك جديد",
  },
};

async function words() {
  const cache = await caches.open(SETTINGS);
  const chosen = await (await cache.match("/language"))?.text();
  const language = (chosen || navigator.language || "en").slice(0, 2);
  return [language in WORDS ? language : "en", WORDS[language] ?? WORDS.en];
}

addEventListener("push", (event) => {
  event.waitUntil(show(event.data));
});

// What was decrypted is shown as text; whatever it is, the browser wants something to be shown.
async function show(data) {
  const [lang, say] = await words();
  let notice;
  try {
    notice = data.json();
  } catch {
    notice = {};
  }
  const { kind, room = "", events = 1, at, room_name, from, text } = notice;
  const emergency = kind === "emergency";
  const title = emergency ? [say.emergency, from].filter(Boolean).join(" · ") : (from ?? room_name ?? "Holler");
  let body = say.something;
  if (emergency) body = room_name ?? "";
  else if (kind === "message") body = text ? (room_name ? `${room_name}: ${text}` : text) : say.in(say.wrote, room_name);
  else if (kind === "burst") body = say.in(say.spoke, room_name);
  if (events > 1) body = `${body} (${say.more(events)})`;
  await registration.showNotification(title, {
    body,
    lang,
    dir: say.dir,
    // One a room, and one for its emergency: a later one takes its place.
    tag: `${room}/${emergency ? "emergency" : "news"}`,
    renotify: true,
    requireInteraction: emergency,
    timestamp: at,
    icon: `${BASE}icon-192.png`,
    data: { room },
  });
}

// The push service gave up the subscription, or the browser did. A page that is open has the sign-in and tells the server of the
// new one; without one the next that connects does. Until then nothing is told here: the server drops what the service refuses.
addEventListener("pushsubscriptionchange", (event) => {
  event.waitUntil(subscribeAnew(event));
});

async function subscribeAnew({ oldSubscription, newSubscription }) {
  const options = oldSubscription?.options;
  if (!newSubscription && options?.applicationServerKey) {
    const { userVisibleOnly, applicationServerKey } = options;
    // Where it can't be now, the next page that connects tries.
    await registration.pushManager.subscribe({ userVisibleOnly, applicationServerKey }).catch(() => null);
  }
  const pages = await clients.matchAll({ type: "window", includeUncontrolled: true });
  // One of them is enough.
  pages[0]?.postMessage("subscribed");
}

addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.room ?? ""));
});

async function open(room) {
  const pages = await clients.matchAll({ type: "window", includeUncontrolled: true });
  const page = pages.find((page) => page.visibilityState === "visible") ?? pages[0];
  if (page) {
    page.postMessage({ open: room });
    await page.focus();
  } else {
    await clients.openWindow(room ? `/?room=${encodeURIComponent(room)}` : "/");
  }
}
