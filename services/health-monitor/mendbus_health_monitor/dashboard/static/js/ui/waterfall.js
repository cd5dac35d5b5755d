// The spans of one trace as bars on a common axis of time; long times in which nothing happened are cut short.

import { h } from "../lib/dom.js";
import { millis, shortly } from "../lib/format.js";

/** @typedef {{span_id: string, parent_id: string, name: string, service: string, start: number, end: number, status: string, error: string | null, attributes: Record<string, any>}} Span */

/** What a cut takes of the width. */
const CUT = 0.05;
const LEAST_CUT_NANO = 2e8;

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

/** Times in which something happened. @param {Span[]} spans @returns {[number, number][]} */
function busy(spans) {
  /** @type {[number, number][]} */
  const found = [];
  for (const { start, end } of [...spans].sort((a, b) => a.start - b.start)) {
    const last = found[found.length - 1];
    if (last && start - last[1] < LEAST_CUT_NANO) last[1] = Math.max(last[1], end);
    else found.push([start, end]);
  }
  return found;
}

/**
 * The axis: where a time lies, from 0 to 1; its marks; what is cut.
 * @param {Span[]} spans
 */
export function axisOf(spans) {
  const parts = busy(spans);
  const whole = Math.max(
    1,
    parts.reduce((sum, [start, end]) => sum + end - start, 0),
  );
  const room = 1 - CUT * (parts.length - 1);
  const begun = parts[0][0];
  let left = 0;
  const placed = parts.map(([start, end]) => {
    const width = ((end - start) / whole) * room;
    const one = { start, end, left, width };
    left += width + CUT;
    return one;
  });
  const at = (/** @type {number} */ time) => {
    const part = placed.findLast((one) => time >= one.start) ?? placed[0];
    return part.left + Math.min(1, (time - part.start) / Math.max(1, part.end - part.start)) * part.width;
  };
  const marks = placed.flatMap(({ start, end, left: from, width }) =>
    [0, 0.25, 0.5, 0.75]
      .filter((share) => !share || width > 0.5)
      .map((share) => ({ at: from + share * width, text: shortly((start + share * (end - start) - begun) / 1e6) })),
  );
  return { at, marks, cuts: placed.slice(1).map((one) => one.left - CUT) };
}

/** @param {Span[]} spans */
export function waterfall(spans) {
  const { at, marks, cuts } = axisOf(spans);
  const start = Math.min(...spans.map((one) => one.start));
  const total = Math.max(...spans.map((one) => one.end)) - start;
  const share = (/** @type {number} */ value) => `${(value * 100).toFixed(2)}%`;
  const axis = h(
    "div",
    { class: "scale" },
    marks.map((one, place) => {
      // The last mark would run out of the picture if it stood to the right of its place.
      const last = one.at > 0.85 && place > 0;
      return h("span", { style: last ? { right: share(1 - one.at) } : { left: share(one.at) } }, one.text);
    }),
  );
  const cut = () => cuts.map((left) => h("b", { class: "cut", style: { left: share(left), width: share(CUT) } }));
  const rows = ordered(spans).map(([one, depth]) =>
    h(
      "tr",
      null,
      h(
        "td",
        { class: "nowrap", style: { "padding-left": `${depth * 12}px` } },
        one.name,
        one.status === "error" && h("span", { class: "t-bad small", title: one.error ?? "" }, "  failed"),
      ),
      h("td", { class: "quiet wide" }, one.service),
      h("td", { class: "right nowrap" }, millis((one.end - one.start) / 1e6)),
      h(
        "td",
        { class: "lane" },
        cut(),
        h("i", {
          class: one.status === "error" ? "wrong" : null,
          title: `${one.name}: begins after ${millis((one.start - start) / 1e6)}, takes ${millis((one.end - one.start) / 1e6)}`,
          style: { left: share(at(one.start)), width: share(at(one.end) - at(one.start)) },
        }),
      ),
    ),
  );
  return h(
    "div",
    { class: "wrap" },
    h(
      "table",
      { class: "falls" },
      h("caption", { class: "unseen" }, `${spans.length} spans in ${millis(total / 1e6)}`),
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("th", { scope: "col" }, "Span"),
          h("th", { scope: "col", class: "wide" }, "Service"),
          h("th", { scope: "col", class: "right" }, "Took"),
          h("th", { scope: "col" }, axis, h("span", { class: "unseen" }, "On the axis of time")),
        ),
      ),
      h("tbody", null, rows),
    ),
  );
}
