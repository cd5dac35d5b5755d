// What each strategy was worth: in all, and in each category.

import { h } from "../lib/dom.js";
import { millis, percent, titled, words } from "../lib/format.js";
import { shareBar, shareText } from "../ui/bars.js";
import { card, table } from "../ui/parts.js";
import { analysed } from "../ui/ranged.js";
import { empty } from "../ui/states.js";

/** @param {import("../lib/view.js").View} view */
export function strategiesPage(view) {
  analysed(
    view,
    "Strategies",
    "A strategy helped when its attempt was verified, not undone, and the last one of an incident that recovered.",
    (report) => {
      const rows = report.strategies;
      if (!rows.length) return empty("Nothing was attempted", "in this time", "calm");
      return [
        card(
          "In all",
          table(
            "Success of each strategy, with intervals of 95 %",
            [
              { name: "Strategy", cell: (one) => h("strong", null, titled(one.strategy)) },
              { name: "Attempts", right: true, cell: (one) => one.attempts },
              { name: "Helped", class: "shares", cell: (one) => shareBar(one.success) },
              { name: "", cell: (one) => h("span", { class: "nowrap" }, shareText(one.success)) },
              { name: "Median", right: true, cell: (one) => millis(one.time.median_ms) },
              { name: "p90", right: true, cell: (one) => millis(one.time.p90_ms) },
            ],
            rows,
          ),
        ),
        card("By category", heat(report)),
      ];
    },
  );
}

/** @param {any} report */
function heat(report) {
  const strategies = report.strategies.map((/** @type {any} */ one) => one.strategy);
  const categories = [...new Set(report.by_category.map((/** @type {any} */ one) => one.category))].sort();
  const found = new Map(report.by_category.map((/** @type {any} */ one) => [`${one.category} ${one.strategy}`, one]));
  return h(
    "div",
    { class: "wrap" },
    h(
      "table",
      { class: "heat" },
      h("caption", { class: "unseen" }, "Share of attempts that helped, by category and strategy"),
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("th", { scope: "col" }, "Category"),
          strategies.map((/** @type {string} */ name) => h("th", { scope: "col" }, words(name))),
        ),
      ),
      h(
        "tbody",
        null,
        categories.map((category) =>
          h(
            "tr",
            null,
            h("th", { scope: "row" }, words(/** @type {string} */ (category))),
            strategies.map((/** @type {string} */ strategy) =>
              h("td", null, cell(found.get(`${category} ${strategy}`))),
            ),
          ),
        ),
      ),
    ),
  );
}

/** @param {any} one */
function cell(one) {
  if (!one || one.success.share === null) return h("span", { class: "quiet cell" }, "–");
  const { share, hits, of } = one.success;
  return h(
    "span",
    { class: `cell tag ${share >= 0.8 ? "t-well" : share >= 0.5 ? "t-fair" : "t-bad"}`, title: shareText(one.success) },
    `${percent(share, 0)} of ${of}`,
    h("span", { class: "unseen" }, `, ${hits} helped`),
  );
}
