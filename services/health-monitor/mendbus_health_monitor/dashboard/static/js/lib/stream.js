// Server-sent events over fetch, which can send a token where EventSource cannot. Resumes where it was cut off.

import { Failed, headers } from "./api.js";

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 10_000;
const SILENCE_MS = 40_000;
const HIDDEN_MS = 60_000;

/**
 * @typedef {object} Hearer
 * @property {() => Promise<string>} snapshot reads everything, returns the id of the event that it stands for
 * @property {(batch: any) => void} batch
 * @property {(state: "live" | "retrying" | "refused", why: string) => void} state
 */

/** Follows `/api/events` for ever; `watch` names an agent whose samples are wanted too. */
export class Stream {
  /** @param {Hearer} hearer */
  constructor(hearer) {
    this.hearer = hearer;
    this.last = "";
    this.watch = "";
    /** @type {AbortController | null} */
    this.current = null;
    this.changed = false;
    /** @type {(() => void) | null} */
    this.awake = null;
    this.asleep = false;
    this.closing = 0;
  }

  /** Another agent to watch; "" for none. @param {string} key */
  setWatch(key) {
    if (this.watch === key) return;
    this.watch = key;
    this.again();
  }

  /** Connects anew at once, as with another token. */
  again() {
    this.changed = true;
    this.current?.abort();
    this.awake?.();
  }

  /** A page that nobody looks at lets its connection go: browsers have only six for one server. */
  seen() {
    clearTimeout(this.closing);
    if (document.hidden) {
      this.closing = window.setTimeout(() => {
        this.asleep = true;
        this.again();
      }, HIDDEN_MS);
    } else if (this.asleep) {
      this.asleep = false;
      this.awake?.();
    }
  }

  /** Tries until the page is left. */
  async run() {
    document.addEventListener("visibilitychange", () => this.seen());
    let wait = FIRST_WAIT_MS;
    for (;;) {
      if (this.asleep) {
        await new Promise((resolve) => {
          this.awake = () => resolve(null);
        });
        this.awake = null;
        continue;
      }
      this.changed = false;
      this.current = new AbortController();
      try {
        if (!this.last) this.last = await this.hearer.snapshot();
        await this.follow(this.current, () => {
          wait = FIRST_WAIT_MS;
          this.hearer.state("live", "");
        });
      } catch (error) {
        if (!this.changed) {
          const refused = error instanceof Failed && error.status === 401;
          this.hearer.state(
            refused ? "refused" : "retrying",
            error instanceof Failed ? error.message : "The connection was lost.",
          );
        }
      }
      if (this.changed) continue;
      await new Promise((resolve) => {
        this.awake = () => resolve(null);
        setTimeout(resolve, wait * (0.75 + Math.random() / 2));
      });
      this.awake = null;
      wait = Math.min(LONGEST_WAIT_MS, wait * 2);
    }
  }

  /** @param {AbortController} control @param {() => void} opened */
  async follow(control, opened) {
    const query = new URLSearchParams(this.watch ? { watch: this.watch } : {});
    const response = await fetch(`api/events?${query}`, {
      headers: headers({ "Last-Event-ID": this.last, Accept: "text/event-stream" }),
      cache: "no-store",
      signal: control.signal,
    });
    if (!response.ok || !response.body) {
      const said = await response.json().catch(() => null);
      throw new Failed(said?.error ?? `The server answered ${response.status}.`, response.status);
    }
    opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      // The server speaks every 15 s at least: silence is a dead connection that nobody noticed.
      const silence = setTimeout(() => control.abort(), SILENCE_MS);
      const { value, done } = await reader.read().finally(() => clearTimeout(silence));
      if (done) throw new Failed("The server ended the connection.", 0);
      text += value.replaceAll("\r", "");
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        const block = text.slice(0, end);
        text = text.slice(end + 2);
        this.take(block);
      }
    }
  }

  /** @param {string} block */
  take(block) {
    let [id, name, data] = ["", "", ""];
    for (const line of block.split("\n")) {
      if (line.startsWith("id:")) id = line.slice(3).trim();
      else if (line.startsWith("event:")) name = line.slice(6).trim();
      else if (line.startsWith("data:")) data += line.slice(5).trimStart();
    }
    if (name === "reset") {
      this.last = "";
      this.again();
    } else if (name === "batch" && data) {
      this.hearer.batch(JSON.parse(data));
      if (id) this.last = id;
    }
  }
}
