// One incident: what failed, what was decided and why nothing else, what was tried, and the whole trail.

import { get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { between, when, words } from "../lib/format.js";
import { actButton } from "../ui/acting.js";
import { approveDeed, closeDeed, noteDeed, rejectDeed, relabelDeed } from "../ui/deeds.js";
import { journalTable } from "../ui/journal.js";
import { attempts, decision, failureOf } from "../ui/incidentparts.js";
import { mark, standingTag } from "../ui/marks.js";
import { agentLink, card, head, keyOf } from "../ui/parts.js";
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
  const part = view.part(
    top,
    (signal) => get(`incidents/${encodeURIComponent(id)}`, {}, signal),
    (told) => {
      const last = told.incident;
      const opened = told.journal.find((/** @type {any} */ one) => one.type === "opened");
      const one = last ?? {
        incident_id: opened?.incident_id ?? id,
        agent: opened?.agent,
        error: opened?.error,
        outcome: null,
        error_count: 1,
        times: {},
        trace_id: opened?.trace_id,
        attempts: [],
      };
      whole = one.incident_id;
      view.title = one.error ? one.error.exception.type : "Incident";
      document.title = `${view.title} · Mendbus`;
      put(
        top,
        h(
          "div",
          { class: "stack" },
          heading(view, one, told),
          stages(one, told),
          h(
            "div",
            { class: "halves" },
            h("div", { class: "stack" }, card("Error", failureOf(one)), card("Attempts", attempts(one, told))),
            card("Decision", decision(one, told)),
          ),
          (told.notes?.length || told.relabel) && card("What people wrote", written(told)),
          card(
            "Audit trail",
            told.journal.length
              ? journalTable(told.journal)
              : empty("No entry", "The journal does not hold it any more."),
          ),
        ),
      );
      if (spans) spans.soon(1000);
      else spans = tracePart(view, trace, one);
    },
    { lines: 8 },
  );
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
  const below = h(
    "div",
    { class: "bar" },
    standingTag(one),
    one.agent && agentLink(keyOf(one.agent)),
    found && h("span", null, `${words(label?.category ?? found.category)}, `, mark(label?.severity ?? found.severity)),
    label && h("span", { class: "tag" }, "relabelled"),
    h("span", null, `${one.error_count} error${one.error_count === 1 ? "" : "s"}`),
    when(one.times?.reported ?? one.error?.time_unix_nano),
    h("span", { class: "mono any" }, one.incident_id),
  );
  const title = one.error ? `${one.error.exception.type}: ${one.error.exception.message}` : "Incident";
  return head(title.length > TITLE ? `${title.slice(0, TITLE - 1)}…` : title, below, [
    one.outcome === "awaiting_approval" &&
      waits && [actButton("Approve", () => approveDeed(one), "main"), actButton("Deny", () => rejectDeed(one), "")],
    waits && one.outcome !== "awaiting_approval" && actButton("Close", () => closeDeed(one), ""),
    actButton("Note", () => noteDeed(one.incident_id), ""),
    one.outcome && actButton("Relabel", () => relabelDeed(one, view.meta), ""),
  ]);
}

/** @param {any} one @param {any} told */
function stages(one, told) {
  const way = wayOf(one.outcome ? one : null, told.outcomes, told.journal);
  const { times } = one;
  const aside =
    times?.verified && times.reported
      ? h("span", { class: "quiet" }, `verified after ${between(times.reported, times.verified)}`)
      : null;
  return card(
    "Stages",
    h("div", { class: "stack" }, one.reason && h("p", { class: "any" }, one.reason), track(way, { timed: true })),
    aside,
  );
}

/** @param {any} told */
function written(told) {
  const relabel = told.relabel;
  return h(
    "ul",
    { class: "said-by" },
    relabel &&
      h(
        "li",
        null,
        h(
          "div",
          { class: "any" },
          `Relabelled as ${words(relabel.category)}${relabel.severity ? `, ${relabel.severity}` : ""}: ${relabel.reason}`,
        ),
        h("div", { class: "quiet small" }, `${relabel.by}, `, when(relabel.time_unix_nano)),
      ),
    (told.notes ?? []).map((/** @type {any} */ note) =>
      h(
        "li",
        null,
        h("div", { class: "any" }, note.text),
        h("div", { class: "quiet small" }, `${note.by}, `, when(note.time_unix_nano)),
      ),
    ),
  );
}

/** @param {import("../lib/view.js").View} view @param {Element} host @param {any} one */
function tracePart(view, host, one) {
  const outside =
    view.meta.jaeger_url && one.trace_id
      ? h(
          "p",
          null,
          h(
            "a",
            { href: `${view.meta.jaeger_url}/trace/${one.trace_id}`, rel: "noreferrer", target: "_blank" },
            "Open in Jaeger",
          ),
        )
      : null;
  const inside = h("div");
  put(host, outside, inside);
  return view.part(
    inside,
    (signal) => get(`incidents/${encodeURIComponent(one.incident_id)}/trace`, {}, signal),
    (spans) => put(inside, spans.length ? waterfall(spans) : empty("No span yet", "Spans come some seconds later.")),
  );
}
