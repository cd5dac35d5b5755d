// Small bars: a level, a share with its interval, how many of each.

import { h } from "../lib/dom.js";
import { percent, words } from "../lib/format.js";
import { shape, tone } from "./marks.js";

/** A level from 0 to 1. @param {number} share @param {string} label @param {string} [look] */
export function meter(share, label, look = "t-accent") {
  return h(
    "div",
    { class: `meter ${look}`, role: "img", "aria-label": label, title: label },
    h("i", { style: { width: `${(Math.min(1, Math.max(0, share)) * 100).toFixed(1)}%` } }),
  );
}

/** How close to its limit. @param {number} share */
export const fullness = (share) => (share >= 0.9 ? "t-bad" : share >= 0.7 ? "t-poor" : "t-accent");

/** A share with its interval of 95 % confidence. @param {{hits: number, of: number, share: number | null, low: number | null, high: number | null}} one */
export function shareBar(one) {
  if (one.share === null || one.low === null || one.high === null) return h("span", { class: "quiet" }, "–");
  const at = (/** @type {number} */ value) => `${(value * 100).toFixed(1)}%`;
  const text = shareText(one);
  return h(
    "div",
    { class: "share", role: "img", "aria-label": text, title: text },
    h("span", { class: "span", style: { left: at(one.low), width: at(one.high - one.low) } }),
    h("span", { class: "point", style: { left: at(one.share) } }),
  );
}

/** @param {{hits: number, of: number, share: number | null, low: number | null, high: number | null}} one */
export function shareText(one) {
  if (one.share === null || one.low === null || one.high === null) return "–";
  return `${percent(one.share)} (${percent(one.low, 0).replace(" %", "")} to ${percent(one.high, 0)}, ${one.hits} of ${one.of})`;
}

/** How many there are of each, side by side. @param {[word: string, count: number][]} counts @param {string} label */
export function strip(counts, label) {
  const found = counts.filter(([, count]) => count > 0);
  const text = `${label}: ${found.map(([word, count]) => `${count} ${words(word)}`).join(", ") || "none"}`;
  return h(
    "div",
    { class: "strip", role: "img", "aria-label": text, title: text },
    found.map(([word, count]) => h("i", { class: tone(word), style: { flex: String(count) } })),
  );
}

/** Shape, count and word of each. @param {[word: string, count: number][]} counts */
export function legend(counts) {
  return h(
    "ul",
    { class: "chips" },
    counts
      .filter(([, count]) => count > 0)
      .map(([word, count]) =>
        h("li", { class: `mark ${tone(word)}` }, shape(word), h("span", null, h("b", null, count), ` ${words(word)}`)),
      ),
  );
}
