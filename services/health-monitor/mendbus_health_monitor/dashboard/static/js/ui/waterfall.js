// The spans of one trace as bars on a common axis of time.

import { h } from "../lib/dom.js";
import { millis } from "../lib/format.js";

/** @typedef {{span_id: string, parent_id: string, name: string, service: string, start: number, end: number, status: string, error: string | null, attributes: Record<string, any>}} Span */

/** Spans in the order of a tree, each with its depth. @param {Span[]} spans */
export function ordered(spans) {
  /** @type {Map<string, Span[]>} */
  const children = new Map();
  const ids = new Set(spans.map((one) => one.span_id));
  for (const one of [...spans].sort((a, b) => a.start - b.start)) {
    const parent = ids.has(one.parent_id) ? one.parent_id : "";
    children.set(parent, [...(children.get(parent) ?? []), one]);
  }
  /** @type {[Span, number][]} */
  const found = [];
  const visit = (/** @type {string} */ id, /** @type {number} */ depth) => {
    for (const one of children.get(id) ?? []) {
      found.push([one, depth]);
      if (depth < 64) visit(one.span_id, depth + 1);
    }
  };
  visit("", 0);
  return found;
}

/** @param {Span[]} spans */
export function waterfall(spans) {
  const start = Math.min(...spans.map((one) => one.start));
  const total = Math.max(1, Math.max(...spans.map((one) => one.end)) - start);
  const share = (/** @type {number} */ value) => `${((value / total) * 100).toFixed(2)}%`;
  const axis = h("div", { class: "scale" }, [0, 0.25, 0.5, 0.75].map((part) => h("span", { style: { left: `${part * 100}%` } }, millis((part * total) / 1e6))));
  const rows = ordered(spans).map(([one, depth]) => h("tr", null,
    h("td", { class: "nowrap", style: { "padding-left": `${depth * 12}px` } }, one.name,
      one.status === "error" && h("span", { class: "t-bad small", title: one.error ?? "" }, "  failed")),
    h("td", { class: "quiet wide" }, one.service),
    h("td", { class: "right nowrap" }, millis((one.end - one.start) / 1e6)),
    h("td", { class: "lane" }, h("i", {
      class: one.status === "error" ? "wrong" : null, title: `${one.name}: begins after ${millis((one.start - start) / 1e6)}, takes ${millis((one.end - one.start) / 1e6)}`,
      style: { left: share(one.start - start), width: share(one.end - one.start) },
    }))));
  return h("div", { class: "wrap" }, h("table", { class: "falls" },
    h("caption", { class: "unseen" }, `${spans.length} spans in ${millis(total / 1e6)}`),
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Span"), h("th", { scope: "col", class: "wide" }, "Service"),
      h("th", { scope: "col", class: "right" }, "Took"), h("th", { scope: "col" }, axis, h("span", { class: "unseen" }, "On the axis of time")))),
    h("tbody", null, rows)));
}
