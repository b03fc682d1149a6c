// What the drivers of Chromium and of Firefox have a page do.

// The database as an earlier version of its schema left it: without what came later. Gives how many records each store has.
export const downgrade = async ({ version, without }) => {
  const done = (request) =>
    new Promise((resolve, reject) => ((request.onsuccess = () => resolve(request.result)), (request.onerror = () => reject(request.error))));
  const before = await done(indexedDB.open("holler"));
  const records = [];
  for (const store of before.objectStoreNames) {
    if (without.includes(store)) continue;
    const from = before.transaction(store).objectStore(store);
    const [names, values] = [await done(from.getAllKeys()), await done(from.getAll())];
    records.push([store, names.map((name, at) => [name, values[at]])]);
  }
  before.close();
  await done(indexedDB.deleteDatabase("holler"));
  const opening = indexedDB.open("holler", version);
  opening.onupgradeneeded = () => records.forEach(([store]) => opening.result.createObjectStore(store));
  const after = await done(opening);
  for (const [store, rows] of records) {
    const writing = after.transaction(store, "readwrite");
    rows.forEach(([name, value]) => writing.objectStore(store).put(value, name));
    await new Promise((resolve) => (writing.oncomplete = resolve));
  }
  after.close();
  return records.map(([store, rows]) => [store, rows.length]);
};

// Notes when the connection and the network changed, as the worker and the browser say it: wall clock, ms.
export const takeNotes = () => {
  globalThis.notes = [];
  const note = (what) => globalThis.notes.push([what, Date.now()]);
  addEventListener("online", () => note("online"));
  const { Worker } = globalThis;
  globalThis.Worker = class extends Worker {
    constructor(...how) {
      super(...how);
      globalThis.worker = this;
      this.addEventListener("message", ({ data }) => {
        if (typeof data !== "string") return;
        for (const line of data.split("\n")) {
          if (line.startsWith('{"Notice":{"Link":')) {
            const state = JSON.parse(line).Notice.Link;
            note(typeof state === "string" ? state : Object.keys(state)[0]);
          } else if (line.startsWith('{"Leading":')) note(line.includes("true") ? "leads" : "follows");
          else if (line.startsWith('{"Level":') && !globalThis.notes.some(([what]) => what === "sounds")) note("sounds");
        }
      });
    }
  };
};

// Notes when these words are shown.
export const watchFor = (words) => {
  const observer = new MutationObserver(() => {
    const items = [...document.querySelectorAll(".item")].slice(-5);
    if (!items.some((item) => item.innerText.includes(words))) return;
    observer.disconnect();
    globalThis.notes.push(["shown", Date.now()]);
  });
  globalThis.notes.length = 0;
  observer.observe(document.body, { subtree: true, childList: true, characterData: true });
};
