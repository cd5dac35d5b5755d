// A page whose answer hangs on a range of time that is chosen at its head.

import { get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { now, when } from "../lib/format.js";
import { button, choice, head, RANGES } from "./parts.js";

const FRESH_MS = 20_000;

/**
 * @param {import("../lib/view.js").View} view
 * @param {string} title
 * @param {string} below
 * @param {(report: any) => any} show
 */
export function analysed(view, title, below, show) {
  view.title = title;
  const host = h("div", { class: "stack" });
  const stamp = h("span", { class: "quiet small" });
  let from = "24h";
  put(
    view.element,
    head(title, below, [
      stamp,
      button("Read again", () => void part.again(), ""),
      choice("Range of time", RANGES, from, (value) => {
        from = value;
        void part.again();
      }),
    ]),
    host,
  );
  const part = view.part(
    host,
    (signal) => get("analytics", { from }, signal),
    (report) => {
      put(stamp, "read ", when(now()));
      put(
        host,
        show(report),
        report.notes.map((/** @type {string} */ note) => h("p", { class: "quiet small" }, note)),
      );
    },
    { lines: 8 },
  );
  view.on("incidents", (ids) => {
    if (ids.some((id) => id === null || view.store.incidents.get(id)?.stage === "settled")) part.soon(FRESH_MS);
  });
}
