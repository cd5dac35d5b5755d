// The audit trail of one incident: each entry in a sentence, and the whole of it on demand.

import { h } from "../lib/dom.js";
import { clock, millis, moment, words } from "../lib/format.js";

/** @type {Record<string, (entry: any) => string>} */
const SENTENCES = {
  opened: (one) =>
    `opened by ${one.error?.exception?.type ?? "an error"}${one.recurrence_of ? `, a recurrence of ${one.recurrence_of}` : ""}`,
  counted: (one) =>
    `${one.error_count} error${one.error_count === 1 ? "" : "s"} counted${one.repeated ? ", after the recovery that was settling" : ""}`,
  decided: (one) =>
    `${words(one.strategy) || "nothing"} decided, attempt ${one.attempt}${one.command ? ", commanded" : ""}`,
  commanded: (one) => `${words(one.command.action)} of ${words(one.command.strategy)} commanded`,
  attempted: (one) =>
    `${words(one.result.status) || "done"}, ${one.result.verified ? "verified" : "not verified"}${one.result.detail ? `: ${one.result.detail}` : ""}`,
  concluded: (one) =>
    `${words(one.outcome.outcome)}${one.outcome.settled ? ", settled" : ""}${one.outcome.undone ? ", undone" : ""}${one.outcome.reason ? `: ${one.outcome.reason}` : ""}`,
  held: () => "limits the agent until it has stayed healthy",
  released: (one) => `the limit is lifted${one.detail ? `: ${one.detail}` : ""}`,
  operated: (one) => `${one.verb} by ${one.by}${one.reason ? `: ${one.reason}` : ""}`,
};

/** @param {any[]} journal */
export function journalTable(journal) {
  const begun = journal[0].time_unix_nano;
  return h(
    "div",
    { class: "wrap" },
    h(
      "table",
      null,
      h("caption", { class: "unseen" }, "Entries of the journal, the oldest first"),
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          ["Time", "After", "Entry", "What"].map((name, place) =>
            h("th", { scope: "col", class: place === 1 ? "right" : null }, name),
          ),
          h("th", { scope: "col", class: "wide" }, "Record"),
        ),
      ),
      h(
        "tbody",
        null,
        journal.map((one) =>
          h(
            "tr",
            null,
            h("td", { class: "nowrap", title: moment(one.time_unix_nano) }, clock(one.time_unix_nano)),
            h("td", { class: "right nowrap quiet" }, millis((one.time_unix_nano - begun) / 1e6)),
            h("td", null, one.type),
            h(
              "td",
              { class: "any" },
              h(
                "details",
                null,
                h("summary", null, (SENTENCES[one.type] ?? (() => "entry"))(one)),
                h("pre", null, JSON.stringify(one, null, 2)),
              ),
            ),
            h("td", { class: "quiet nowrap wide", title: one.owner }, `${one.partition}/${one.number}`),
          ),
        ),
      ),
    ),
  );
}
