// Open alerts with what to do about them, and what can be done here.

import { h, keep, put, say } from "../lib/dom.js";
import { when, words } from "../lib/format.js";
import { actButton } from "./acting.js";
import { sortedAlerts } from "./alertlines.js";
import { mark, tag } from "./marks.js";
import { agentLink, incidentLink, keyOf } from "./parts.js";
import { empty, loading } from "./states.js";

const MOST = 100;

/** @param {import("../lib/view.js").View} view @param {(alert: any) => boolean} [wanted] */
export function alertCards(view, wanted = () => true) {
  const { store } = view;
  const list = h("ul", { class: "live" });
  const blank = h("div");
  const more = h("p", { class: "quiet small" });
  const draw = () => {
    const all = sortedAlerts(store.alerts.values()).filter(wanted);
    keep(
      list,
      all.slice(0, MOST),
      (one) => one.key,
      () => h("li"),
      update,
    );
    put(
      blank,
      !store.loaded
        ? loading(3)
        : all.length
          ? null
          : empty("No open alert", "What somebody should know appears here.", "calm"),
    );
    say(more, all.length > MOST ? `and ${all.length - MOST} more, less grave` : "");
  };
  view.on("alerts", draw);
  draw();
  return h("div", null, list, blank, more);
}

/** @param {any} element @param {any} alert */
function update(element, alert) {
  const agent = keyOf(alert.agent);
  const taken = alert.state === "acknowledged";
  put(
    element,
    h(
      "div",
      { class: "line" },
      h(
        "div",
        { class: "bar" },
        tag(alert.severity),
        h("span", { class: "quiet small" }, words(alert.rule) || alert.key),
        alert.flapping && h("span", { class: "tag" }, "flaps"),
        alert.muted_by && mark("muted", alert.muted_by.startsWith("silence") ? "silenced" : "muted by another alert"),
      ),
      h("span", { class: "quiet small nowrap" }, when(alert.since_unix_nano)),
    ),
    h("p", { class: "any" }, alert.summary),
    alert.hint && h("p", { class: "quiet any" }, alert.hint),
    h(
      "div",
      { class: "line" },
      h(
        "div",
        { class: "bar small" },
        agent && agentLink(agent),
        alert.incident_id && incidentLink(alert.incident_id, "Incident"),
        taken &&
          mark(
            "acknowledged",
            `${alert.acknowledged_by ?? "somebody"} has it${alert.reason ? `: ${alert.reason}` : ""}`,
          ),
      ),
      h(
        "div",
        { class: "bar" },
        !taken &&
          actButton("Acknowledge", () => ({
            verb: "ack",
            title: "Acknowledge the alert",
            what: alert.summary,
            body: { key: alert.key },
            go: "Acknowledge",
          })),
        actButton("Silence", () => ({
          verb: "silence",
          title: "Silence alerts",
          what: "They are raised and kept; they notify nobody for as long.",
          body: {},
          fields: [
            { name: "scope", label: "Which", kind: "choice", options: scopes(alert, agent) },
            {
              name: "for",
              label: "For how long",
              value: "2h",
              needed: true,
              hint: "Such as 30m, 2h or 1d; 30d at most.",
            },
          ],
          go: "Silence",
        })),
      ),
    ),
  );
}

/** @param {any} alert @param {string} agent @returns {[string, string][]} */
function scopes(alert, agent) {
  const found = /** @type {[string, string][]} */ ([[`key=${alert.key}`, "This alert alone"]]);
  if (agent) found.push([`agent=${agent}`, `All alerts of ${agent}`]);
  if (alert.rule) found.push([`rule=${alert.rule}`, `All alerts of the rule ${alert.rule}`]);
  if (alert.agent) found.push([`kind=${alert.agent.kind}`, `All alerts of agents of the kind ${alert.agent.kind}`]);
  return found;
}
