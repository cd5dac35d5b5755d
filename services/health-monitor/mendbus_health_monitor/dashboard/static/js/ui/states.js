// What stands where there is nothing to show: it loads, there is none, or it failed.

import { h, s } from "../lib/dom.js";

const PICTURES = {
  calm: "M4 17h5l3-7 5 13 3-6h8",
  none: "M6 8h20v16H6zM6 14h20",
  lost: "M16 5v13M16 23v3",
};

/** @param {keyof typeof PICTURES} name */
const picture = (name) =>
  s(
    "svg",
    { viewBox: "0 0 32 32", "aria-hidden": "true" },
    s("path", {
      d: PICTURES[name],
      fill: "none",
      stroke: "currentColor",
      "stroke-width": 2,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    }),
  );

/** @param {number} lines */
export function loading(lines) {
  const widths = ["72%", "91%", "64%", "83%", "77%", "58%"];
  return h(
    "div",
    { role: "status" },
    h("span", { class: "unseen" }, "Loading"),
    Array.from({ length: lines }, (_, place) =>
      h("div", { class: "bone", style: { width: widths[place % widths.length] } }),
    ),
  );
}

/** @param {string} what @param {string} [why] @param {"calm" | "none"} [drawn] */
export function empty(what, why = "", drawn = "none") {
  return h("div", { class: "blank" }, picture(drawn), h("strong", null, what), why && h("p", null, why));
}

/** @param {any} error @param {() => void} again */
export function failure(error, again) {
  const missing = error?.status === 404;
  return h(
    "div",
    { class: "blank", role: "alert" },
    picture(missing ? "none" : "lost"),
    h("strong", null, missing ? "There is nothing here" : "This could not be read"),
    h("p", { class: "any" }, error?.message ?? "Something went wrong on this page."),
    !missing && h("p", null, h("button", { class: "button small", type: "button", onclick: again }, "Try again")),
  );
}
