// Messages that services had to refuse: which, why, and sending them again.

import { get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { bytes, moment, when } from "../lib/format.js";
import { actButton } from "../ui/acting.js";
import { card, facts, head, table } from "../ui/parts.js";
import { empty } from "../ui/states.js";

const SHOWN = 100;

/** @param {import("../lib/view.js").View} view */
export function deadPage(view) {
  view.title = "Dead letters";
  const host = h("div");
  put(
    view.element,
    head(
      "Dead letters",
      "Messages that did not fit their contract. They were put aside with the reason; everything else went on.",
    ),
    card("Refused messages", host),
  );
  const list = view.part(
    host,
    (signal) => get("dead", { limit: SHOWN }, signal),
    (rows) =>
      put(
        host,
        rows.length
          ? table(
              "Refused messages, the newest first",
              [
                { name: "Number", cell: (one) => h("a", { href: `#/dead/${one.sequence}` }, `#${one.sequence}`) },
                { name: "Refused by", class: "wide", cell: (one) => one.service },
                { name: "Code", cell: (one) => h("span", { class: "mono" }, one.code) },
                { name: "Reason", class: "text", cell: (one) => one.reason },
                { name: "Subject", class: "text wide", cell: (one) => h("span", { class: "mono" }, one.subject) },
                { name: "Size", right: true, class: "wide", cell: (one) => bytes(one.size) },
                { name: "When", right: true, cell: (one) => when(one.time_unix_nano) },
              ],
              [...rows].reverse(),
            )
          : empty("No dead letter", "Every message so far could be read.", "calm"),
      ),
  );
  view.on("dead", (events) => {
    if (events.some((one) => one !== null)) list.soon(1000);
  });
}

/** @param {import("../lib/view.js").View} view @param {string} sequence */
export function letterPage(view, sequence) {
  view.title = `Dead letter ${sequence}`;
  const host = h("div", { class: "stack" });
  put(view.element, host);
  view.part(
    host,
    (signal) => get(`dead/${sequence}`, {}, signal),
    (one) =>
      put(
        host,
        head(
          `Dead letter ${one.sequence}`,
          one.reason,
          actButton(
            "Send it again",
            () => ({
              verb: "replay",
              title: `Send dead letter ${one.sequence} again`,
              what: `As it was, to ${one.subject}. It is refused again unless what refused it has changed.`,
              body: { sequence: one.sequence },
              go: "Send it",
              reason: "none",
            }),
            "main",
          ),
        ),
        card(
          "Why and what",
          facts([
            ["Refused by", one.service],
            ["Code", h("span", { class: "mono" }, one.code)],
            ["When", h("span", null, moment(one.time_unix_nano), " (", when(one.time_unix_nano), ")")],
            ["Subject", h("span", { class: "mono" }, one.subject)],
            [
              "Size",
              `${bytes(one.size)}${one.kept < one.size ? `, the first ${bytes(one.kept)} are kept` : ""}`,
            ],
            ...Object.entries(one.headers).map(
              ([name, value]) => /** @type {[string, any]} */ ([name, h("span", { class: "mono" }, value)]),
            ),
          ]),
        ),
        card(
          "Body, without what is secret in it",
          one.body === null ? h("pre", null, dump(one.body_hex)) : h("pre", null, JSON.stringify(one.body, null, 2)),
        ),
      ),
  );
}

/** Bytes in lines of sixteen, at most a kilobyte. @param {string} hex */
function dump(hex) {
  const lines = [];
  for (let at = 0; at < Math.min(hex.length, 2048); at += 32) {
    const found = hex.slice(at, at + 32).match(/../g) ?? [];
    const text = found
      .map((one) => {
        const code = parseInt(one, 16);
        return code >= 32 && code < 127 ? String.fromCharCode(code) : ".";
      })
      .join("");
    lines.push(`${(at / 2).toString(16).padStart(6, "0")}  ${found.join(" ").padEnd(47)}  ${text}`);
  }
  return lines.join("\n") + (hex.length > 2048 ? `\n${hex.length / 2 - 1024} bytes more` : "");
}
