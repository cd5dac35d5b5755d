// What waits for a person: strategies to approve of, and incidents that nobody could recover.

import { get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { when, words } from "../lib/format.js";
import { approveDeed, closeDeed, rejectDeed } from "../ui/deeds.js";
import { actButton } from "../ui/acting.js";
import { standingTag } from "../ui/marks.js";
import { agentLink, card, errorLine, facts, head, incidentLink, keyOf } from "../ui/parts.js";
import { empty } from "../ui/states.js";

/** @param {import("../lib/view.js").View} view */
export function approvalsPage(view) {
  view.title = "Approvals";
  const host = h("div", { class: "stack" });
  put(
    view.element,
    head("Approvals", "What waits for a person. Nothing is held up by it: other incidents go on."),
    host,
  );
  const list = view.part(
    host,
    (signal) => get("incidents", { open: true, since: "7d", limit: 500 }, signal),
    (rows) => {
      const newest = [...rows].reverse();
      const approvals = newest.filter((one) => one.outcome === "awaiting_approval");
      const others = newest.filter((one) => one.outcome === "escalated" || one.outcome === "failed");
      put(
        host,
        card(
          "To approve",
          approvals.length
            ? h("ul", { class: "live" }, approvals.map(approval))
            : empty("Nothing to approve", "The policy's require_approval says which strategies wait here.", "calm"),
        ),
        card(
          "Handed over to people",
          others.length
            ? h("ul", { class: "live" }, others.map(handedOver))
            : empty("Nothing was handed over", "", "calm"),
        ),
      );
    },
  );
  view.on("incidents", () => list.soon(700));
  view.on("operated", () => list.soon(300));
}

/** @param {any} one */
function approval(one) {
  return h(
    "li",
    null,
    h(
      "div",
      { class: "line" },
      h("strong", { class: "any" }, `${words(one.strategy) || "a strategy"} of ${keyOf(one.agent)}`),
      when(one.times?.reported),
    ),
    h("p", { class: "any" }, incidentLink(one.incident_id, errorLine(one.error, 240))),
    facts([
      ["Because", one.decision?.reason],
      [
        "Found",
        one.classification &&
          `${words(one.classification.category)}, ${one.classification.severity}, confidence ${one.classification.confidence.toFixed(2)}`,
      ],
      ["Errors", one.error_count],
      ["Else", instead(one.decision?.alternatives ?? [])],
    ]),
    h(
      "div",
      { class: "bar" },
      actButton("Approve", () => approveDeed(one), "main"),
      actButton("Deny", () => rejectDeed(one), ""),
      agentLink(keyOf(one.agent)),
    ),
  );
}

/** What else there was: strategies by why they were not chosen. @param {{strategy: string, why_not: string}[]} alternatives */
function instead(alternatives) {
  /** @type {Map<string, string[]>} */
  const reasons = new Map();
  for (const { strategy, why_not } of alternatives)
    reasons.set(why_not, [...(reasons.get(why_not) ?? []), words(strategy)]);
  return [...reasons].map(([why, names]) => `${names.join(", ")}: ${why}`).join("; ");
}

/** @param {any} one */
function handedOver(one) {
  return h(
    "li",
    null,
    h(
      "div",
      { class: "line" },
      h("div", { class: "bar" }, standingTag(one), agentLink(keyOf(one.agent))),
      when(one.times?.reported),
    ),
    h("p", { class: "any" }, incidentLink(one.incident_id, errorLine(one.error, 240))),
    one.reason && h("p", { class: "quiet any" }, one.reason),
    h(
      "div",
      { class: "bar" },
      actButton("Close", () => closeDeed(one)),
    ),
  );
}
