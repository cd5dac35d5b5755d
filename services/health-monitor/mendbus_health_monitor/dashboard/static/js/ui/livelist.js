// Incidents under way, each with its stages; those that are over stay for some seconds.

import { h, keep, put, say } from "../lib/dom.js";
import { when, words } from "../lib/format.js";
import { mark } from "./marks.js";
import { agentLink, errorLine } from "./parts.js";
import { light, track } from "./stages.js";
import { empty, loading } from "./states.js";

/** @typedef {import("../lib/store.js").LiveIncident} LiveIncident */

/** @param {import("../lib/view.js").View} view @param {{most: number, broad?: boolean}} options */
export function liveList(view, { most, broad = false }) {
  const { store } = view;
  const list = h("ol", { class: broad ? "live broad" : "live" });
  const blank = h("div");
  const more = h("p", { class: "quiet small" });
  const draw = () => {
    const all = store.live();
    keep(
      list,
      all.slice(0, most),
      (one) => one.incident_id,
      (one) => make(one, !broad),
      (element, one) => update(element, one, !broad),
    );
    put(
      blank,
      !store.loaded
        ? loading(3)
        : all.length
          ? null
          : empty("Nothing is under way", "A new error appears here at once.", "calm"),
    );
    say(more, all.length > most ? `and ${all.length - most} more` : "");
  };
  view.on("incidents", draw);
  draw();
  return h("div", null, list, blank, more);
}

/** @param {LiveIncident} one @param {boolean} slim */
function make(one, slim) {
  return h(
    "li",
    null,
    h(
      "div",
      { class: "line" },
      agentLink(one.agent),
      h("span", { class: "quiet small nowrap" }, when(one.opened_unix_nano)),
    ),
    h(
      "a",
      { class: "any small clip", href: `#/incidents/${one.incident_id}`, title: one.error },
      errorLine(one.error, 140) || one.incident_id,
    ),
    track(one, { slim }),
    h("div", { class: "line small" }, h("span"), h("span", { class: "quiet nowrap" })),
  );
}

/** @param {any} element @param {LiveIncident} one @param {boolean} slim */
function update(element, one, slim) {
  const [, , stages, below] = element.children;
  element.classList.toggle("leaving", one.stage === "settled");
  light(stages, one, { slim });
  const word =
    one.stage === "settled"
      ? (one.outcome ?? "recovered")
      : one.stage === "waiting"
        ? (one.outcome ?? "escalated")
        : one.stage === "settling"
          ? "settling"
          : "under_way";
  const text =
    one.stage === "settled"
      ? `${words(word)}${one.strategy ? ` by ${words(one.strategy)}` : ""}`
      : words(one.told) || words(one.stage);
  put(below.firstElementChild, mark(word, text));
  say(below.lastElementChild, one.errors > 1 ? `${one.errors} errors` : words(one.category));
}
