// What the incidents of a time came to.

import { h } from "../lib/dom.js";
import { millis, moment, titled, when, words } from "../lib/format.js";
import { legend, shareBar, shareText, strip } from "../ui/bars.js";
import { agentLink, card, facts, table } from "../ui/parts.js";
import { analysed } from "../ui/ranged.js";
import { empty } from "../ui/states.js";

/** @param {import("../lib/view.js").View} view */
export function analyticsPage(view) {
  analysed(
    view,
    "Analytics",
    "Of the incidents that were opened in this time, as they stand now. The canary counts nowhere.",
    (report) => {
      if (!report.incidents)
        return empty("No incident was opened", `from ${moment(report.since_unix_nano)} on`, "calm");
      const outcomes = /** @type {[string, number][]} */ (Object.entries(report.outcomes));
      const raised = /** @type {[string, number][]} */ (Object.entries(report.alerts));
      return [
        h(
          "div",
          { class: "halves" },
          card(
            "In all",
            facts([
              ["Incidents", `${report.incidents}, of ${report.errors} errors`],
              ["Recovered", shareText(report.success)],
              ["Needed a person", shareText(report.needed_person)],
              [
                "Time to recovery",
                report.mttr.n
                  ? `${millis(report.mttr.mean_ms)} (mean), ${millis(report.mttr.median_ms)} (median), ${millis(report.mttr.p90_ms)} (p90)`
                  : "–",
              ],
              ["Most common", titled(report.most_common_category) || "–"],
              ["Fails most", report.most_failing_agent && agentLink(report.most_failing_agent)],
              ["Relabelled", report.relabelled || null],
              ["Rejected events", report.rejected || null],
            ]),
          ),
          card(
            "Outcomes and alerts",
            h(
              "div",
              { class: "stack" },
              strip(outcomes, "Outcomes"),
              legend(outcomes),
              h("p", { class: "quiet" }, `${report.alerts_raised} alerts were raised`),
              raised.length ? [strip(raised, "Alerts"), legend(raised)] : null,
            ),
          ),
        ),
        card(
          "Categories",
          table(
            "Categories",
            [
              { name: "Category", cell: (one) => h("strong", null, titled(one.category)) },
              { name: "Incidents", right: true, cell: (one) => one.incidents },
              { name: "Errors", right: true, class: "wide", cell: (one) => one.errors },
              { name: "Recovered", class: "shares", cell: (one) => shareBar(one.success) },
              { name: "", cell: (one) => h("span", { class: "nowrap" }, shareText(one.success)) },
              { name: "Median", right: true, cell: (one) => millis(one.time.median_ms) },
              { name: "p90", right: true, class: "wide", cell: (one) => millis(one.time.p90_ms) },
            ],
            report.categories,
          ),
        ),
        card(
          "Failures that come back",
          report.recurring.length
            ? h("ul", { class: "live" }, report.recurring.map(recurring))
            : empty("None", "No failure had more than one incident.", "calm"),
        ),
        card(
          "Agents",
          table(
            "Agents by incidents",
            [
              { name: "Agent", cell: (one) => agentLink(one.agent) },
              { name: "Incidents", right: true, cell: (one) => one.incidents },
              { name: "Errors", right: true, class: "wide", cell: (one) => one.errors },
              { name: "Recovered", class: "shares", cell: (one) => shareBar(one.success) },
              { name: "", cell: (one) => h("span", { class: "nowrap" }, shareText(one.success)) },
              { name: "Needed a person", right: true, cell: (one) => one.needed_person },
            ],
            report.agents,
          ),
        ),
      ];
    },
  );
}

/** @param {any} one */
function recurring(one) {
  return h(
    "li",
    null,
    h(
      "div",
      { class: "line" },
      h("strong", { class: "any" }, one.error || one.fingerprint),
      h("span", { class: "quiet small nowrap" }, "last ", when(one.last_unix_nano)),
    ),
    h("p", { class: "any" }, one.hint),
    h(
      "p",
      { class: "quiet small" },
      `${one.incidents} incidents of ${one.agents > 1 ? `${one.agents} agents` : "one agent"}, ${words(one.category)}, recovered ${shareText(one.success)}${one.helped ? `, ${words(one.helped)} helped most often` : ""}`,
    ),
  );
}
