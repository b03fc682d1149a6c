// What the page has of the browser around it: the service worker with the app's files, and notifications.
//
// A new version waits until the person takes it, or until the next start. It never takes over while somebody speaks.

/// A browser looks for a new version by itself when a page is opened; a page that stays open has this asked for.
const LOOK_EVERY_MS = 60 * 60 * 1_000;
/// How long a page that is to be loaded anew waits, after the button was let go, for what was spoken to be on the disk.
const SAFE_MAX_MS = 10_000;
/// How long a new version may take to be loaded when the person asks for it.
const LOAD_MAX_MS = 15_000;

/// Under these names the browser keeps which room was opened last, and whether it is told of what it missed.
const LAST = "holler-last-room";
const TELLING = "holler-telling";

const container = navigator.serviceWorker;
let registration = null;
let tell = () => {};
let ask = () => {};
let number = 0;
const asked = new Map();
let speaking = false;
let reloading = false;
let safe;

export const shell = {
  /// `callback("waiting")`: a new version waits; `callback("open", room)`: a notification was clicked.
  listen(callback) {
    tell = callback;
    const wanted = new URLSearchParams(location.search).get("room");
    if (wanted) {
      history.replaceState(null, "", location.pathname + location.hash);
      const room = wanted === "last" ? kept(LAST) : wanted;
      if (room) tell("open", room);
    }
    if (registration?.waiting) tell("waiting");
  },

  /// Somebody speaks, or all that was spoken is on the disk or at the server.
  speaking(now) {
    clearTimeout(safe);
    speaking = now;
    if (!speaking && reloading) location.reload();
  },

  /// The button is up. Should nobody say what became of what was spoken, it is not waited for much longer.
  released() {
    if (!speaking) return;
    clearTimeout(safe);
    safe = setTimeout(() => shell.speaking(false), SAFE_MAX_MS);
  },

  /// This room was opened last: a shortcut leads there.
  opened(room) {
    keep(LAST, room);
  },

  /// Goes on with the newest version there is.
  async reload() {
    const waiting = await newest().catch(() => null);
    // The page is loaded anew when the new version has taken over.
    waiting?.postMessage("take-over");
    // A page that no service worker has is not told of that.
    if (!waiting || !container.controller) anew();
  },

  /// Notifications speak the language of the app.
  async language(tag) {
    (await container?.ready)?.active?.postMessage({ language: tag });
  },

  /// Gives the way to the server's `/push`; the answers come by `answered`.
  attach(way) {
    ask = way;
  },

  answered(number, answer) {
    asked.get(number)?.(answer);
    asked.delete(number);
  },

  /// Somebody is signed in and connected: the server is told again where this browser is told, which may have changed.
  async connected() {
    say();
    if (kept(TELLING) === "on" && permission() === "granted") await subscribe().catch(() => {});
  },

  /// Has this browser told of what it missed, or no more. Only a press of the person may ask for permission.
  async telling(on) {
    keep(TELLING, on ? "on" : "off");
    try {
      if (!on) await unsubscribe();
      else if ((await Notification.requestPermission()) === "granted") await subscribe();
    } catch (error) {
      console.warn("notifications:", error.message);
      keep(TELLING, "off");
    }
    say();
  },

  /// Nobody is signed in any more: the server forgets the subscription with the sign-in.
  async forget() {
    keep(TELLING, null);
    keep(LAST, null);
    await (await subscription())?.unsubscribe();
    say();
  },
};

function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // A browser that keeps nothing for this page is asked again next time.
  }
}

function permission() {
  const able = container && "PushManager" in globalThis && "Notification" in globalThis;
  return able ? Notification.permission : "unsupported";
}

function say() {
  const words = { unsupported: "never", denied: "refused" };
  tell("telling", words[permission()] ?? (permission() === "granted" ? (kept(TELLING) ?? "unasked") : kept(TELLING) ? "off" : "unasked"));
}

// A request to the server's `/push`, with its answer as an object.
async function rest(method, path, body) {
  const mine = ++number;
  const answer = new Promise((resolve) => asked.set(mine, resolve));
  ask(mine, method, path, body ? JSON.stringify(body) : "");
  const text = await answer;
  if (text == null) throw new Error("the server did not do it");
  return text ? JSON.parse(text) : null;
}

async function subscription() {
  return (await registration?.pushManager?.getSubscription()) ?? null;
}

async function subscribe() {
  const { vapid_public_key: key } = await rest("GET", "");
  const { pushManager } = await container.ready;
  const bytes = Uint8Array.from(atob(key.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const options = { userVisibleOnly: true, applicationServerKey: bytes };
  let made;
  try {
    made = await pushManager.subscribe(options);
  } catch (error) {
    if (error.name !== "InvalidStateError") throw error;
    // The one that is there was made with the key of a server that was set up anew.
    await (await subscription())?.unsubscribe();
    made = await pushManager.subscribe(options);
  }
  const { endpoint, keys } = made.toJSON();
  await rest("PUT", "/subscription", { kind: "web", endpoint, p256dh: keys.p256dh, auth: keys.auth });
}

async function unsubscribe() {
  const there = await subscription();
  if (!there) return;
  await there.unsubscribe();
  await rest("DELETE", "/subscription");
}

function anew() {
  if (speaking) reloading = true;
  else location.reload();
}

// The service worker that waits, after having looked for a newer one.
async function newest() {
  if (!registration) return null;
  await registration.update();
  const coming = registration.installing;
  if (coming) {
    await new Promise((done) => {
      coming.addEventListener("statechange", () => coming.state !== "installing" && done());
      setTimeout(done, LOAD_MAX_MS);
    });
  }
  return registration.waiting;
}

function watch(coming) {
  coming?.addEventListener("statechange", () => {
    // The first one has nothing to wait for.
    if (coming.state === "installed" && registration.active) tell("waiting");
  });
}

if (container) {
  const first = !container.controller;
  container.addEventListener("controllerchange", () => {
    if (!first || reloading) anew();
  });
  container.addEventListener("message", ({ data }) => {
    // The browser made another subscription in place of the one that the server knows.
    if (data === "subscribed") shell.connected().catch(() => {});
    if (typeof data?.open === "string" && data.open !== "") tell("open", data.open);
  });
  container
    .register("/service-worker.js", { updateViaCache: "none" })
    .then((made) => {
      registration = made;
      made.addEventListener("updatefound", () => watch(made.installing));
      watch(made.installing);
      if (made.waiting && made.active) tell("waiting");
      setInterval(() => made.update().catch(() => {}), LOOK_EVERY_MS);
    })
    // A browser that keeps nothing for this page does without; the page says elsewhere that it needs the network.
    .catch((error) => console.warn("no service worker:", error.message));
}
