// Incidents as rows.

import { between, when, words } from "../lib/format.js";
import { h } from "../lib/dom.js";
import { mark, standing } from "./marks.js";
import { agentLink, errorLine, incidentLink, keyOf, table } from "./parts.js";

/** @param {any[]} rows of `/api/incidents` @param {{agent?: boolean}} [options] */
export function incidentTable(rows, { agent = true } = {}) {
  const columns = [
    {
      name: "Outcome",
      cell: (/** @type {any} */ one) => mark(standing(one), `${words(standing(one))}${one.undone ? ", undone" : ""}`),
    },
    {
      name: "Error",
      class: "text",
      cell: (/** @type {any} */ one) => incidentLink(one.incident_id, errorLine(one.error, 90)),
    },
    { name: "Agent", cell: (/** @type {any} */ one) => agentLink(keyOf(one.agent)) },
    {
      name: "Category",
      class: "wide",
      cell: (/** @type {any} */ one) =>
        one.relabel
          ? h("span", { title: `relabelled by ${one.relabel.by}` }, `${words(one.relabel.category)} *`)
          : words(one.classification?.category) || "–",
    },
    { name: "Strategy", class: "wide nowrap", cell: (/** @type {any} */ one) => words(one.strategy) || "–" },
    { name: "Errors", right: true, class: "wide", cell: (/** @type {any} */ one) => one.error_count ?? "–" },
    { name: "Took", right: true, cell: (/** @type {any} */ one) => between(one.times?.reported, one.times?.verified) },
    {
      name: "When",
      right: true,
      cell: (/** @type {any} */ one) => when(one.times?.reported ?? one.error?.time_unix_nano),
    },
  ];
  return table("Incidents, the newest first", agent ? columns : columns.filter((one) => one.name !== "Agent"), rows);
}
