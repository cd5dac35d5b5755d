// Parts of an incident's page: what failed, what was decided and why nothing else, what was tried.

import { h } from "../lib/dom.js";
import { measured, metricName, millis, moment, percent, when, words } from "../lib/format.js";
import { mark, standing } from "./marks.js";
import { facts, incidentLink, table } from "./parts.js";
import { empty } from "./states.js";

const TITLE = 120;

/** @param {any} one */
export function failureOf(one) {
  const said = one.error;
  if (!said) return empty("The error was not kept", "");
  const frames = said.exception.frames ?? [];
  return h(
    "div",
    { class: "stack" },
    said.exception.message.length > TITLE && h("p", { class: "any" }, said.exception.message),
    facts([
      [
        "Caused by",
        (said.exception.causes ?? []).map((/** @type {any} */ cause) => `${cause.type}: ${cause.message}`).join("; "),
      ],
      ["Operation", said.operation],
      ["Severity", said.severity && mark(said.severity)],
      [
        "Reported",
        said.time_unix_nano && h("span", null, moment(said.time_unix_nano), " (", when(said.time_unix_nano), ")"),
      ],
      ["Fingerprint", one.fingerprint && h("span", { class: "mono" }, one.fingerprint)],
      ["Checkpoint", said.checkpoint_id],
      ["Attributes", pairs(said.attributes, String)],
      ["Metrics", pairs(said.metrics, (value, name) => measured(name, value))],
      [
        "Symptoms",
        one.symptoms?.length
          ? h(
              "span",
              { class: "bar" },
              one.symptoms.map((/** @type {string} */ id) => incidentLink(id)),
            )
          : null,
      ],
    ]),
    frames.length
      ? h(
          "ol",
          { class: "mono" },
          [...frames]
            .reverse()
            .slice(0, 12)
            .map((/** @type {any} */ frame) =>
              h(
                "li",
                { class: frame.in_app === false ? "quiet any" : "any" },
                `${frame.function || "?"}  ${frame.file}:${frame.line}`,
              ),
            ),
        )
      : null,
    said.exception.stacktrace
      ? h("details", null, h("summary", null, "Stack as it was sent"), h("pre", null, said.exception.stacktrace))
      : null,
  );
}

/** @param {Record<string, any> | undefined} map @param {(value: any, name: string) => string} write */
const pairs = (map, write) =>
  Object.entries(map ?? {})
    .map(([name, value]) => `${metricName(name)} ${write(value, name)}`)
    .join(", ");

/** @param {any} one @param {any} told */
export function decision(one, told) {
  const entries = told.journal.filter((/** @type {any} */ entry) => entry.type === "decided");
  const last = one.decision ?? entries.at(-1)?.decision;
  if (!last) return empty("Nothing is decided yet", "");
  const found = one.classification;
  const ahead = one.prediction;
  const strategy = one.strategy ?? entries.at(-1)?.strategy;
  return h(
    "div",
    { class: "stack" },
    h("p", { class: "any" }, h("strong", null, words(strategy) || "nothing"), `: ${last.reason}`),
    facts([
      [
        "Rule",
        h(
          "span",
          null,
          last.rule,
          h("span", { class: "quiet" }, " of policy "),
          h("span", { class: "mono" }, last.policy),
        ),
      ],
      [
        "Classified",
        found &&
          `${words(found.category)}, ${found.severity}, confidence ${percent(found.confidence, 0)}, by ${found.model}`,
      ],
      [
        "Predicted",
        ahead &&
          (ahead.valid
            ? `fails with probability ${percent(ahead.probability, 0)}${ahead.strategy ? `, recommends ${words(ahead.strategy)} (confidence ${percent(ahead.confidence, 0)})` : ""}`
            : "not valid, not used"),
      ],
    ]),
    last.alternatives?.length
      ? table(
          "Alternatives that were not chosen",
          [
            { name: "Not chosen", cell: (other) => words(other.strategy) },
            { name: "Why not", class: "text", cell: (other) => other.why_not },
          ],
          last.alternatives,
        )
      : null,
    last.state && Object.keys(last.state).length
      ? h(
          "details",
          null,
          h("summary", null, "What the policy looked at"),
          h("pre", null, JSON.stringify(last.state, null, 2)),
        )
      : null,
  );
}

/** @param {any} one @param {any} told */
export function attempts(one, told) {
  const rows = one.attempts ?? [];
  const undone = told.journal.filter((/** @type {any} */ entry) => entry.type === "commanded");
  const results = new Map(
    told.journal
      .filter((/** @type {any} */ entry) => entry.type === "attempted")
      .map((/** @type {any} */ entry) => [entry.command_id, entry.result]),
  );
  if (!rows.length && !undone.length)
    return empty(
      "Nothing was tried",
      standing(one) === "no_action" ? "It was healthy when it was probed." : "",
      "calm",
    );
  return h(
    "div",
    { class: "stack" },
    rows.length
      ? table(
          "Attempts",
          [
            { name: "", cell: (row) => `#${row.attempt}` },
            {
              name: "Strategy",
              cell: (row) => [
                h("strong", null, words(row.strategy)),
                h("div", { class: "quiet small any" }, results.get(row.command_id)?.detail),
              ],
            },
            { name: "Command", cell: (row) => words(row.status) },
            {
              name: "Probe",
              cell: (row) => mark(row.verified ? "verified" : "not_verified", row.verified ? "healthy" : "not healthy"),
            },
            { name: "Undone", cell: (row) => (row.undone ? mark("undone", "yes") : "–") },
            { name: "Took", right: true, cell: (row) => millis((row.ended_unix_nano - row.started_unix_nano) / 1e6) },
          ],
          rows,
        )
      : null,
    undone.length
      ? table(
          "Undone and lifted",
          [
            {
              name: "Undone or lifted",
              cell: (entry) => `${words(entry.command.action)} ${words(entry.command.strategy)}`,
            },
            {
              name: "Command",
              cell: (entry) => {
                const result = results.get(entry.command.command_id);
                return result
                  ? mark(
                      result.status === "done" || result.verified ? "done" : "failed",
                      words(result.status) || "done",
                    )
                  : "under way";
              },
            },
            { name: "When", right: true, cell: (entry) => when(entry.time_unix_nano) },
          ],
          undone,
        )
      : null,
  );
}
