// What predicted failures were worth, counted by what came of them.

import { h } from "../lib/dom.js";
import { percent, shortly, significant, when, words } from "../lib/format.js";
import { shareText } from "./bars.js";
import { card, facts, table } from "./parts.js";
import { empty } from "./states.js";

/** A card. @param {any} told */
export function foretold(told) {
  const { precision, recall, lead, false_alarms: wrong, left_out: without, failures_left_out: failed } = told;
  const nothing = !precision.of && !recall.of && !told.waiting && !counted(without) && !counted(failed);
  return card(
    "Failures foretold",
    nothing
      ? empty("No agent failed, and no failure was predicted", "since the monitor was started", "calm")
      : h(
          "div",
          { class: "stack" },
          facts([
            ["Came true (precision)", shared(precision)],
            ["Foretold of all failures (recall)", shared(recall)],
            ["Lead time", lead.n ? `${shortly(lead.median_ms)} (median), ${shortly(lead.mean_ms)} (mean)` : "–"],
            [
              "False alarms",
              wrong.per_agent_hour === undefined
                ? String(wrong.count)
                : `${wrong.count}, ${significant(wrong.per_agent_hour, 3)} an agent hour`,
            ],
            ["Calibration", calibrated(told.calibration)],
            ["Not judged yet", told.waiting || null],
            ["Left out", counted(without)],
            ["Failures left out", counted(failed)],
          ]),
          told.models.length > 1 ? table("Predictions by model", columns, told.models) : null,
        ),
    h("span", { class: "quiet small" }, "since ", when(told.since_unix_nano)),
  );
}

const columns = [
  { name: "Model", cell: (/** @type {any} */ one) => h("span", { class: "mono" }, one.model) },
  { name: "Came true", cell: (/** @type {any} */ one) => h("span", { class: "nowrap" }, shared(one.precision)) },
  { name: "Calibration", class: "wide", cell: (/** @type {any} */ one) => calibrated(one.calibration) },
  { name: "Left out", class: "text", cell: (/** @type {any} */ one) => counted(one.left_out) || "–" },
];

/** What is not known is left out of the answer. @param {any} one */
const shared = (one) => shareText({ share: null, low: null, high: null, ...one });

/** @param {any} one */
const calibrated = (one) =>
  one.of ? `off by ${percent(one.error)}, Brier score ${significant(one.brier, 3)}, of ${one.of}` : "–";

/** @param {Record<string, number>} counts */
const counted = (counts) =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([word, count]) => `${count} ${words(word)}`)
    .join(", ");
