// How everything is: six numbers, agents by status, what is under way, what somebody should know.

import { get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { millis, percent } from "../lib/format.js";
import { ALERT_SEVERITIES, STATUSES } from "../lib/store.js";
import { agentList } from "../ui/agents.js";
import { alertLines } from "../ui/alertlines.js";
import { liveList } from "../ui/livelist.js";
import { mark } from "../ui/marks.js";
import { card, head } from "../ui/parts.js";

const WELL = new Set(["excellent", "good"]);
const ANALYTICS_MS = 15_000;
/** What takes long is asked for only after so many times as long. */
const SHARE = 20;

/** @param {import("../lib/view.js").View} view */
export function overviewPage(view) {
  view.title = "Overview";
  const { store } = view;
  const tiles = [
    "Agents that are well",
    "Incidents under way",
    "Waiting for a person",
    "Open alerts",
    "Errors, last minute",
    "Recovered, last 24 h",
  ].map((name, place) =>
    tile(name, ["", "#/incidents", "#/approvals", "#/alerts", "#/incidents", "#/analytics"][place]),
  );
  const agents = agentList(view);
  put(
    view.element,
    head("Overview", `${view.meta.root}, version ${view.meta.version}`),
    h(
      "div",
      { class: "tiles" },
      tiles.map((one) => one.element),
    ),
    h(
      "div",
      { class: "columns" },
      agents,
      h(
        "div",
        { class: "stack" },
        card("Live incidents", liveList(view, { most: 6 }), h("a", { href: "#/incidents" }, "All")),
        card("Open alerts", alertLines(view, 5), h("a", { href: "#/alerts" }, "All")),
      ),
    ),
  );

  const fleet = () => {
    const counts = counted(store.agents.values(), "status");
    const known = [...store.agents.values()].filter((one) => one.status !== "retired").length;
    const well = STATUSES.filter((name) => WELL.has(name)).reduce((sum, name) => sum + (counts.get(name) ?? 0), 0);
    const worst = STATUSES.find(
      (name) => !WELL.has(name) && name !== "unknown" && name !== "retired" && counts.get(name),
    );
    tiles[0].show(
      [well, h("span", { class: "of" }, ` of ${known}`)],
      worst ? mark(worst, `${counts.get(worst)} ${worst}`) : known ? "all of them" : "none has been heard of",
    );
  };
  const incidents = () => {
    const all = [...store.incidents.values()].filter((one) => one.stage !== "settled");
    const waiting = all.filter((one) => one.stage === "waiting");
    const acting = all.length - waiting.length;
    const settling = all.filter((one) => one.stage === "settling").length;
    tiles[1].show([acting], settling ? `${settling} settling` : acting ? "being recovered" : "all quiet");
    const approvals = store.approvals().length;
    tiles[2].show(
      [waiting.length],
      approvals
        ? mark("awaiting_approval", `${approvals} to approve`)
        : waiting.length
          ? "nothing to approve"
          : "nobody is needed",
    );
  };
  const alerts = () => {
    const all = [...store.alerts.values()];
    const gravest = ALERT_SEVERITIES.find((name) => all.some((one) => one.severity === name));
    const number = all.filter((one) => one.severity === gravest).length;
    tiles[3].show([all.length], gravest ? mark(gravest, `${number} ${gravest}`) : "nothing to know");
  };
  const rates = () => {
    const { errors = 0, incidents: opened = 0 } = store.rates;
    tiles[4].show([errors], opened ? `${opened} new incident${opened === 1 ? "" : "s"}` : "no new incident");
  };
  let took = 0;
  const analytics = async () => {
    const begun = Date.now();
    try {
      const told = await get("analytics", { from: "24h" }, view.signal);
      took = Date.now() - begun;
      tiles[5].show(
        [percent(told.success.share, 1)],
        told.mttr.n
          ? h(
              "span",
              { title: "How many, and the median time to recovery" },
              `${told.success.hits} of ${told.success.of}, ${millis(told.mttr.median_ms)}`,
            )
          : "nothing to recover yet",
      );
    } catch (error) {
      if (!view.signal.aborted) tiles[5].show(["–"], /** @type {Error} */ (error).message);
    }
  };
  let next = 0;
  const later = () => {
    if (next) return;
    next = window.setTimeout(
      () => {
        next = 0;
        void analytics();
      },
      Math.max(ANALYTICS_MS, SHARE * took),
    );
  };
  view.atEnd(() => clearTimeout(next));
  view.on("agents", fleet);
  view.on("incidents", () => {
    incidents();
    later();
  });
  view.on("alerts", alerts);
  view.on("rates", rates);
  if (store.loaded) for (const one of [fleet, incidents, alerts, rates]) one();
  void analytics();
}

/** @param {string} name @param {string} href */
function tile(name, href) {
  const figure = h("dd", { class: "figure" }, "–");
  const note = h("dd", { class: "note clip" }, " ");
  const list = h("dl", null, h("dt", null, name), figure, note);
  return {
    element: href ? h("a", { class: "tile", href }, list) : h("div", { class: "tile" }, list),
    /** @param {any[]} value @param {any} below */
    show(value, below) {
      put(figure, value);
      put(note, below);
    },
  };
}

/** @param {Iterable<any>} rows @param {string} name */
function counted(rows, name) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const row of rows) counts.set(row[name], (counts.get(row[name]) ?? 0) + 1);
  return counts;
}
