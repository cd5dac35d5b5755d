// One incident: what failed, what was decided and why nothing else, what was tried, and the whole trail.

import { get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { measured, metricName, millis, moment, between, percent, when, words } from "../lib/format.js";
import { actButton } from "../ui/acting.js";
import { approveDeed, closeDeed, noteDeed, rejectDeed, relabelDeed } from "../ui/deeds.js";
import { journalTable } from "../ui/journal.js";
import { mark, standing, standingTag } from "../ui/marks.js";
import { agentLink, card, facts, head, incidentLink, keyOf, table } from "../ui/parts.js";
import { track, wayOf } from "../ui/stages.js";
import { empty } from "../ui/states.js";
import { waterfall } from "../ui/waterfall.js";

const TITLE = 160;

/** @param {import("../lib/view.js").View} view @param {string} id */
export function incidentPage(view, id) {
  view.title = "Incident";
  let whole = id;
  const top = h("div");
  const trace = h("div");
  put(view.element, top, card("Trace", trace));
  /** @type {ReturnType<typeof view.part> | null} */
  let spans = null;
  const part = view.part(top, (signal) => get(`incidents/${encodeURIComponent(id)}`, {}, signal), (told) => {
    const last = told.incident;
    const opened = told.journal.find((/** @type {any} */ one) => one.type === "opened");
    const one = last ?? { incident_id: opened?.incident_id ?? id, agent: opened?.agent, error: opened?.error, outcome: null, error_count: 1, times: {}, trace_id: opened?.trace_id, attempts: [] };
    whole = one.incident_id;
    view.title = one.error ? one.error.exception.type : "Incident";
    document.title = `${view.title} · Mendbus`;
    put(top, h("div", { class: "stack" }, heading(view, one, told), stages(one, told),
      h("div", { class: "halves" },
        h("div", { class: "stack" }, card("Error", error(one)), card("Attempts", attempts(one, told))), card("Decision", decision(one, told))),
      (told.notes?.length || told.relabel) && card("What people wrote", written(told)),
      card("Audit trail", told.journal.length ? journalTable(told.journal) : empty("No entry", "The journal does not hold it any more."))));
    if (spans) spans.soon(1000);
    else spans = tracePart(view, trace, one);
  }, { lines: 8 });
  view.on("incidents", (ids) => {
    if (ids.some((one) => one === null || one === whole)) part.soon(250);
  });
  view.on("operated", (entries) => {
    if (entries.some((one) => one === null || one.incident_id === whole)) part.soon(250);
  });
}

/** @param {import("../lib/view.js").View} view @param {any} one @param {any} told */
function heading(view, one, told) {
  const found = one.classification;
  const label = told.relabel;
  const waits = ["awaiting_approval", "escalated", "failed", "suppressed"].includes(one.outcome) && !one.settled;
  const below = h("div", { class: "bar" }, standingTag(one), one.agent && agentLink(keyOf(one.agent)),
    found && h("span", null, `${words(label?.category ?? found.category)}, `, mark(label?.severity ?? found.severity)), label && h("span", { class: "tag" }, "relabelled"),
    h("span", null, `${one.error_count} error${one.error_count === 1 ? "" : "s"}`), when(one.times?.reported ?? one.error?.time_unix_nano), h("span", { class: "mono any" }, one.incident_id));
  const title = one.error ? `${one.error.exception.type}: ${one.error.exception.message}` : "Incident";
  return head(title.length > TITLE ? `${title.slice(0, TITLE - 1)}…` : title, below, [
    one.outcome === "awaiting_approval" && waits && [actButton("Approve", () => approveDeed(one), "main"), actButton("Deny", () => rejectDeed(one), "")],
    waits && one.outcome !== "awaiting_approval" && actButton("Close", () => closeDeed(one), ""),
    actButton("Note", () => noteDeed(one.incident_id), ""), one.outcome && actButton("Relabel", () => relabelDeed(one, view.meta), ""),
  ]);
}

/** @param {any} one @param {any} told */
function stages(one, told) {
  const way = wayOf(one.outcome ? one : null, told.outcomes, told.journal);
  const { times } = one;
  const aside = times?.verified && times.reported ? h("span", { class: "quiet" }, `verified after ${between(times.reported, times.verified)}`) : null;
  return card("Stages", h("div", { class: "stack" }, one.reason && h("p", { class: "any" }, one.reason), track(way, { timed: true })), aside);
}

/** @param {any} one */
function error(one) {
  const said = one.error;
  if (!said) return empty("The error was not kept", "");
  const frames = said.exception.frames ?? [];
  return h("div", { class: "stack" },
    said.exception.message.length > TITLE - 40 && h("p", { class: "any" }, said.exception.message),
    facts([
      ["Caused by", (said.exception.causes ?? []).map((/** @type {any} */ cause) => `${cause.type}: ${cause.message}`).join("; ")],
      ["Operation", said.operation], ["Severity", said.severity && mark(said.severity)],
      ["Reported", said.time_unix_nano && h("span", null, moment(said.time_unix_nano), " (", when(said.time_unix_nano), ")")],
      ["Fingerprint", one.fingerprint && h("span", { class: "mono" }, one.fingerprint)],
      ["Checkpoint", said.checkpoint_id], ["Attributes", pairs(said.attributes, String)], ["Metrics", pairs(said.metrics, (value, name) => measured(name, value))],
      ["Symptoms", one.symptoms?.length ? h("span", { class: "bar" }, one.symptoms.map((/** @type {string} */ id) => incidentLink(id))) : null],
    ]),
    frames.length ? h("ol", { class: "mono" }, [...frames].reverse().slice(0, 12).map((/** @type {any} */ frame) =>
      h("li", { class: frame.in_app === false ? "quiet any" : "any" }, `${frame.function || "?"}  ${frame.file}:${frame.line}`))) : null,
    said.exception.stacktrace ? h("details", null, h("summary", null, "Stack as it was sent"), h("pre", null, said.exception.stacktrace)) : null);
}

/** @param {Record<string, any> | undefined} map @param {(value: any, name: string) => string} write */
const pairs = (map, write) => Object.entries(map ?? {}).map(([name, value]) => `${metricName(name)} ${write(value, name)}`).join(", ");

/** @param {any} one @param {any} told */
function decision(one, told) {
  const entries = told.journal.filter((/** @type {any} */ entry) => entry.type === "decided");
  const last = one.decision ?? entries.at(-1)?.decision;
  if (!last) return empty("Nothing is decided yet", "");
  const found = one.classification;
  const ahead = one.prediction;
  const strategy = one.strategy ?? entries.at(-1)?.strategy;
  return h("div", { class: "stack" },
    h("p", { class: "any" }, h("strong", null, words(strategy) || "nothing"), `: ${last.reason}`),
    facts([
      ["Rule", h("span", null, last.rule, h("span", { class: "quiet" }, " of policy "), h("span", { class: "mono" }, last.policy))],
      ["Classified", found && `${words(found.category)}, ${found.severity}, confidence ${percent(found.confidence, 0)}, by ${found.model}`],
      ["Predicted", ahead && (ahead.valid ? `fails with probability ${percent(ahead.probability, 0)}${ahead.strategy ? `, recommends ${words(ahead.strategy)} (confidence ${percent(ahead.confidence, 0)})` : ""}` : "not valid, not used")],
    ]),
    last.alternatives?.length ? table("Alternatives that were not chosen", [
      { name: "Not chosen", cell: (other) => words(other.strategy) }, { name: "Why not", class: "text", cell: (other) => other.why_not },
    ], last.alternatives) : null,
    last.state && Object.keys(last.state).length ? h("details", null, h("summary", null, "What the policy looked at"), h("pre", null, JSON.stringify(last.state, null, 2))) : null);
}

/** @param {any} one @param {any} told */
function attempts(one, told) {
  const rows = one.attempts ?? [];
  const undone = told.journal.filter((/** @type {any} */ entry) => entry.type === "commanded");
  const results = new Map(told.journal.filter((/** @type {any} */ entry) => entry.type === "attempted").map((/** @type {any} */ entry) => [entry.command_id, entry.result]));
  if (!rows.length && !undone.length) return empty("Nothing was tried", standing(one) === "no_action" ? "It was healthy when it was probed." : "", "calm");
  return h("div", { class: "stack" },
    rows.length ? table("Attempts", [
      { name: "", cell: (row) => `#${row.attempt}` },
      { name: "Strategy", cell: (row) => [h("strong", null, words(row.strategy)), h("div", { class: "quiet small any" }, results.get(row.command_id)?.detail)] },
      { name: "Command", cell: (row) => words(row.status) },
      { name: "Probe", cell: (row) => mark(row.verified ? "verified" : "not_verified", row.verified ? "healthy" : "not healthy") },
      { name: "Undone", cell: (row) => (row.undone ? mark("undone", "yes") : "–") },
      { name: "Took", right: true, cell: (row) => millis((row.ended_unix_nano - row.started_unix_nano) / 1e6) },
    ], rows) : null,
    undone.length ? table("Undone and lifted", [
      { name: "Undone or lifted", cell: (entry) => `${words(entry.command.action)} ${words(entry.command.strategy)}` },
      { name: "Command", cell: (entry) => { const result = results.get(entry.command.command_id); return result ? mark(result.status === "done" || result.verified ? "done" : "failed", words(result.status) || "done") : "under way"; } },
      { name: "When", right: true, cell: (entry) => when(entry.time_unix_nano) },
    ], undone) : null);
}

/** @param {any} told */
function written(told) {
  const relabel = told.relabel;
  return h("ul", { class: "said-by" },
    relabel && h("li", null, h("div", { class: "any" }, `Relabelled as ${words(relabel.category)}${relabel.severity ? `, ${relabel.severity}` : ""}: ${relabel.reason}`), h("div", { class: "quiet small" }, `${relabel.by}, `, when(relabel.time_unix_nano))),
    (told.notes ?? []).map((/** @type {any} */ note) => h("li", null, h("div", { class: "any" }, note.text), h("div", { class: "quiet small" }, `${note.by}, `, when(note.time_unix_nano)))));
}

/** @param {import("../lib/view.js").View} view @param {Element} host @param {any} one */
function tracePart(view, host, one) {
  const outside = view.meta.jaeger_url && one.trace_id
    ? h("p", null, h("a", { href: `${view.meta.jaeger_url}/trace/${one.trace_id}`, rel: "noreferrer", target: "_blank" }, "Open in Jaeger")) : null;
  const inside = h("div");
  put(host, outside, inside);
  return view.part(inside, (signal) => get(`incidents/${encodeURIComponent(one.incident_id)}/trace`, {}, signal),
    (spans) => put(inside, spans.length ? waterfall(spans) : empty("No span yet", "Spans come some seconds later.")));
}
