// A page while it is shown: what it listens to and what it has asked for ends when it is left.

import { h, put } from "./dom.js";
import { failure, loading } from "../ui/states.js";
import { Failed } from "./api.js";

/** @typedef {import("./store.js").Topic} Topic */

/** What takes long to read is read again only after so many times as long: a page must not keep the server busy. */
const SHARE = 10;

export class View {
  /** @param {import("./store.js").Store} store @param {any} meta */
  constructor(store, meta) {
    this.store = store;
    this.meta = meta;
    this.ended = new AbortController();
    this.signal = this.ended.signal;
    /** @type {(() => void)[]} */
    this.endings = [];
    this.element = h("div", { class: "stack" });
    this.title = "Mendbus";
  }

  /** @param {Topic} topic @param {(keys: any[]) => void} hear */
  on(topic, hear) {
    this.endings.push(this.store.on(topic, hear));
  }

  /** @param {() => void} what */
  atEnd(what) {
    this.endings.push(what);
  }

  end() {
    this.ended.abort();
    for (const ending of this.endings) ending();
  }

  /**
   * A part of the page that is read from the server: shows that it loads, what came, or why nothing did.
   * @template T
   * @param {Element} host
   * @param {(signal: AbortSignal) => Promise<T>} read
   * @param {(value: T) => void} show puts the value into the host
   * @param {{lines?: number}} [options]
   * @returns {{again: () => Promise<void>, soon: (ms: number) => void}} `soon`: again, but not more often than that
   */
  part(host, read, show, { lines = 4 } = {}) {
    let shown = false;
    let waiting = 0;
    let turns = 0;
    let running = 0;
    let ended = 0;
    let took = 0;
    const again = async () => {
      if (!shown) put(host, loading(lines));
      const turn = ++turns;
      const begun = Date.now();
      running += 1;
      try {
        const value = await read(this.signal);
        // Somebody may have asked for something else meanwhile.
        if (this.signal.aborted || turn !== turns) return;
        shown = true;
        host.removeAttribute("data-stale");
        show(value);
      } catch (error) {
        if (this.signal.aborted || turn !== turns) return;
        if (!(error instanceof Failed)) console.error(error);
        // What was shown stays: the connection's state says that it may be old.
        if (shown && error instanceof Failed && error.status !== 404) host.setAttribute("data-stale", "");
        else {
          shown = false;
          put(host, failure(error, again));
        }
      } finally {
        running -= 1;
        ended = Date.now();
        took = ended - begun;
      }
    };
    const soon = (/** @type {number} */ ms) => {
      if (waiting || this.signal.aborted) return;
      const pause = Math.max(ms, SHARE * took);
      waiting = window.setTimeout(
        () => {
          waiting = 0;
          if (running) soon(ms);
          else if (!this.signal.aborted) void again();
        },
        Math.max(50, ended + pause - Date.now()),
      );
    };
    this.atEnd(() => clearTimeout(waiting));
    void again();
    return { again, soon };
  }
}
