// The gravest open alerts in short.

import { h, keep, put, say } from "../lib/dom.js";
import { when } from "../lib/format.js";
import { ALERT_SEVERITIES } from "../lib/store.js";
import { mark } from "./marks.js";
import { empty, loading } from "./states.js";

/** The gravest first, then the oldest. @param {Iterable<import("../lib/store.js").AlertRow>} alerts */
export function sortedAlerts(alerts) {
  return [...alerts].sort(
    (a, b) =>
      ALERT_SEVERITIES.indexOf(a.severity) - ALERT_SEVERITIES.indexOf(b.severity) ||
      (a.since_unix_nano ?? 0) - (b.since_unix_nano ?? 0) ||
      (a.key < b.key ? -1 : 1),
  );
}

/** @param {import("../lib/view.js").View} view @param {number} most */
export function alertLines(view, most) {
  const { store } = view;
  const list = h("ul", { class: "live" });
  const blank = h("div");
  const more = h("p", { class: "quiet small" });
  const draw = () => {
    const all = sortedAlerts(store.alerts.values());
    keep(
      list,
      all.slice(0, most),
      (one) => one.key,
      () => h("li"),
      (element, one) =>
        put(
          element,
          h(
            "div",
            { class: "line" },
            mark(one.severity),
            h(
              "span",
              { class: "quiet small nowrap" },
              one.state === "acknowledged"
                ? `${one.acknowledged_by ?? "somebody"} has it`
                : one.muted_by
                  ? "muted"
                  : when(one.since_unix_nano),
            ),
          ),
          h("a", { class: "any small", href: "#/alerts" }, one.summary),
        ),
    );
    put(blank, !store.loaded ? loading(2) : all.length ? null : empty("No open alert", "", "calm"));
    say(more, all.length > most ? `and ${all.length - most} more` : "");
  };
  view.on("alerts", draw);
  draw();
  return h("div", null, list, blank, more);
}
