// Open alerts, silences, and what was.

import { get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { when } from "../lib/format.js";
import { actButton } from "../ui/acting.js";
import { alertCards } from "../ui/alertcards.js";
import { mark } from "../ui/marks.js";
import { agentLink, card, choice, head, incidentLink, keyOf, RANGES, table } from "../ui/parts.js";
import { empty } from "../ui/states.js";

/** @param {import("../lib/view.js").View} view */
export function alertsPage(view) {
  view.title = "Alerts";
  const quiet = h("div");
  const past = h("div");
  let since = "24h";
  put(
    view.element,
    head("Alerts", "Whoever acknowledges one has it until it is resolved; a silenced one notifies nobody."),
    h("div", { class: "columns" }, card("Open", alertCards(view)), card("Silences", quiet)),
    card(
      "History",
      past,
      choice("How far back", RANGES, since, (value) => {
        since = value;
        void history.again();
      }),
    ),
  );
  const silences = view.part(
    quiet,
    (signal) => get("silences", {}, signal),
    (rows) =>
      put(
        quiet,
        rows.length ? h("ul", { class: "live" }, rows.map(silence)) : empty("Nothing is silenced", "", "calm"),
      ),
    { lines: 2 },
  );
  const history = view.part(
    past,
    (signal) => get("alerts", { all: true, since }, signal),
    (rows) =>
      put(
        past,
        rows.length
          ? table(
              "Alerts of this time",
              [
                { name: "State", cell: (one) => mark(one.state) },
                { name: "Severity", cell: (one) => mark(one.severity) },
                {
                  name: "Alert",
                  class: "text",
                  cell: (one) => (one.incident_id ? incidentLink(one.incident_id, one.summary) : one.summary),
                },
                { name: "Agent", cell: (one) => (one.agent ? agentLink(keyOf(one.agent)) : "–") },
                { name: "Taken by", class: "wide", cell: (one) => one.acknowledged_by ?? "–" },
                { name: "Since", right: true, cell: (one) => when(one.since_unix_nano ?? one.time_unix_nano) },
              ],
              rows,
            )
          : empty("No alert", "in this time", "calm"),
      ),
  );
  view.on("alerts", () => history.soon(3000));
  view.on("operated", (entries) => {
    if (entries.some((one) => one === null || one.verb.endsWith("silence"))) silences.soon(300);
  });
}

/** @param {any} one */
function silence(one) {
  const scope =
    one.key ??
    (one.agent
      ? keyOf(one.agent)
      : one.kind
        ? `agents of the kind ${one.kind}`
        : one.rule
          ? `the rule ${one.rule}`
          : "");
  return h(
    "li",
    null,
    h(
      "div",
      { class: "line" },
      h("span", { class: "any" }, scope),
      h("span", { class: "quiet small nowrap" }, when(one.until_unix_nano, { future: true })),
    ),
    h(
      "div",
      { class: "line" },
      h("span", { class: "quiet any small" }, `by ${one.by}${one.reason ? `: ${one.reason}` : ""}`),
      actButton("End", () => ({
        verb: "unsilence",
        title: "End the silence",
        what: scope,
        body: { id: one.id },
        go: "End it",
      })),
    ),
  );
}
