// Tells screen readers what is new: politely, and all of some seconds in one sentence.

import { say } from "./dom.js";

const PAUSE_MS = 5000;

/** @param {import("./store.js").Store} store */
export function announce(store) {
  const region = /** @type {Element} */ (document.getElementById("news"));
  /** @type {Set<string>} */
  const known = new Set();
  /** @type {import("./store.js").LiveIncident[]} */
  let fresh = [];
  let first = true;
  let timer = 0;

  const tell = () => {
    timer = 0;
    if (!fresh.length) return;
    const last = fresh[fresh.length - 1];
    const what = `${last.agent}: ${last.error || "no message"}`;
    say(
      region,
      fresh.length === 1 ? `New incident, ${what}` : `${fresh.length} new incidents, the last one of ${what}`,
    );
    fresh = [];
    timer = window.setTimeout(tell, PAUSE_MS);
  };

  store.on("incidents", (keys) => {
    if (first || keys.includes(null)) {
      first = false;
      for (const id of store.incidents.keys()) known.add(id);
      return;
    }
    for (const id of keys) {
      const one = store.incidents.get(id);
      if (!one) known.delete(id);
      else if (!known.has(id)) {
        known.add(id);
        fresh.push(one);
      }
    }
    if (fresh.length && !timer) timer = window.setTimeout(tell, 500);
  });
}
