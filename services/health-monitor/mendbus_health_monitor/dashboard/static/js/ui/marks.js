// How a status, a severity or an outcome looks: a shape and a word, and a colour besides.

import { h, s } from "../lib/dom.js";
import { titled, words } from "../lib/format.js";

/** Shapes on a field of 12 by 12; an outline where the fill is "none". */
const SHAPES = {
  ring: ["M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9z", false],
  target: [
    "M6 .8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 1 0 6 .8zm0 1.6a3.6 3.6 0 1 1 0 7.2a3.6 3.6 0 1 1 0-7.2zm0 1.6a2 2 0 1 0 0 4a2 2 0 1 0 0-4z",
    true,
  ],
  disc: ["M6 1a5 5 0 1 0 0 10A5 5 0 1 0 6 1z", true],
  diamond: ["M6 .5L11.5 6L6 11.5L.5 6z", true],
  triangle: ["M6 .8L11.6 11H.4z", true],
  square: ["M1.2 1.2h9.6v9.6H1.2z", true],
  cross: ["M2 2l8 8M10 2l-8 8", false],
  dash: ["M1.5 6h9", false],
  check: ["M1.5 6.5l3 3l6-7", false],
  up: ["M6 11V2M2 5.5L6 1.5l4 4", false],
  hourglass: ["M2.5 1h7M2.5 11h7M3.2 1c0 3 2.8 3.5 2.8 5s-2.8 2-2.8 5M8.8 1C8.8 4 6 4.5 6 6s2.8 2 2.8 5", false],
  pause: ["M3.5 1.5v9M8.5 1.5v9", false],
  half: ["M6 .8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 1 0 6 .8zm0 1.7a3.5 3.5 0 0 1 0 7z", true],
};

/** @type {Record<string, [shape: keyof typeof SHAPES, tone: string]>} */
const LOOKS = {
  excellent: ["target", "well"],
  good: ["disc", "well"],
  fair: ["diamond", "fair"],
  poor: ["triangle", "poor"],
  critical: ["square", "bad"],
  failed: ["cross", "dead"],
  unknown: ["ring", "none"],
  retired: ["dash", "none"],
  recovered: ["check", "well"],
  settling: ["half", "accent"],
  no_action: ["dash", "none"],
  escalated: ["up", "bad"],
  awaiting_approval: ["hourglass", "fair"],
  suppressed: ["pause", "fair"],
  rejected: ["cross", "none"],
  under_way: ["half", "accent"],
  warning: ["diamond", "fair"],
  error: ["triangle", "poor"],
  fatal: ["cross", "dead"],
  info: ["ring", "none"],
  minor: ["triangle", "fair"],
  major: ["triangle", "poor"],
  raised: ["up", "bad"],
  acknowledged: ["check", "accent"],
  resolved: ["check", "well"],
  muted: ["pause", "none"],
  verified: ["check", "well"],
  not_verified: ["cross", "bad"],
  undone: ["dash", "fair"],
  done: ["check", "well"],
};

/** The drawing alone. @param {string} word */
export function shape(word) {
  const [name] = LOOKS[word] ?? ["ring", "none"];
  const [path, filled] = SHAPES[name];
  return s(
    "svg",
    { viewBox: "0 0 12 12", "aria-hidden": "true" },
    s(
      "path",
      filled
        ? { d: path, fill: "currentColor", "fill-rule": "evenodd" }
        : {
            d: path,
            fill: "none",
            stroke: "currentColor",
            "stroke-width": 1.8,
            "stroke-linecap": "round",
            "stroke-linejoin": "round",
          },
    ),
  );
}

/** @param {string} word */
export const tone = (word) => `t-${(LOOKS[word] ?? ["ring", "none"])[1]}`;

/** Shape and word on a line. @param {string | null | undefined} word @param {string} [text] */
export function mark(word, text) {
  if (!word) return h("span", { class: "quiet" }, "–");
  return h("span", { class: `mark ${tone(word)}` }, shape(word), h("span", null, text ?? words(word)));
}

/** The same as a label with a ground of its own. @param {string} word @param {string} [text] */
export function tag(word, text) {
  return h("span", { class: `tag ${tone(word)}` }, shape(word), h("span", null, text ?? titled(word)));
}

/** How an incident stands, as one word that marks know. @param {any} outcome of `/api/incidents` */
export function standing(outcome) {
  if (!outcome?.outcome) return "under_way";
  if (outcome.outcome === "recovered" && !outcome.settled) return "settling";
  return outcome.outcome;
}

/** The tag of an incident. @param {any} outcome */
export function standingTag(outcome) {
  const word = standing(outcome);
  const text =
    word === "settling" ? "Recovered, settling" : word === "awaiting_approval" ? "Awaiting approval" : titled(word);
  return tag(word, outcome?.undone ? `${text}, undone` : text);
}
