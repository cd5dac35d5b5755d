// What is under way, and what was.

import { get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { incidentTable } from "../ui/incidenttable.js";
import { liveList } from "../ui/livelist.js";
import { card, choice, head, RANGES } from "../ui/parts.js";
import { empty } from "../ui/states.js";

const SHOWN = 50;

/** @param {import("../lib/view.js").View} view */
export function incidentsPage(view) {
  view.title = "Incidents";
  const past = h("div");
  let since = "24h";
  put(
    view.element,
    head("Incidents", "An incident is one failure of one agent; repeats are counted into it."),
    card("Under way", liveList(view, { most: 50, broad: true })),
    card(
      "As they stand",
      past,
      choice("How far back", RANGES, since, (value) => {
        since = value;
        void listed.again();
      }),
    ),
  );
  const listed = view.part(
    past,
    (signal) => get("incidents", { since, limit: SHOWN }, signal),
    (rows) =>
      put(
        past,
        rows.length ? incidentTable([...rows].reverse()) : empty("No incident", "in this time", "calm"),
        rows.length === SHOWN &&
          h("p", { class: "quiet small" }, `The newest ${SHOWN}; mendbus incidents --limit shows more.`),
      ),
    { lines: 6 },
  );
  view.on("incidents", () => listed.soon(2000));
}
