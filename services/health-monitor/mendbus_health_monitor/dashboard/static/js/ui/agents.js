// All agents: how many of each status, by kind, and a list in pages, the worst first.

import { h, keep, put, say } from "../lib/dom.js";
import { words } from "../lib/format.js";
import { STATUSES } from "../lib/store.js";
import { meter, strip } from "./bars.js";
import { mark, shape, tone } from "./marks.js";
import { agentLink, button, card } from "./parts.js";
import { empty, loading } from "./states.js";

/** @typedef {import("../lib/store.js").AgentRow} AgentRow */

const PAGE = 25;
const REDRAW_MS = 250;

/** @param {import("../lib/view.js").View} view */
export function agentList(view) {
  const { store } = view;
  let [wanted, text, page] = ["", "", 0];
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Show agents of a status" });
  const kinds = h("div");
  const rows = h("tbody", { role: "rowgroup" });
  const table = h(
    "div",
    { class: "wrap" },
    h(
      "table",
      { class: "rows", role: "table" },
      h("caption", { class: "unseen" }, "Agents, the worst first"),
      h(
        "thead",
        { role: "rowgroup" },
        h(
          "tr",
          { role: "row" },
          ["Status", "Agent", "Score", "Why"].map((name) => h("th", { scope: "col", role: "columnheader" }, name)),
        ),
      ),
      rows,
    ),
  );
  const blank = h("div");
  const range = h("span", { class: "quiet small", role: "status" });
  const back = button("Back", () => turn(-1), "small");
  const on = button("Next", () => turn(1), "small");
  const pager = h("div", { class: "pager" }, range, h("div", { class: "bar" }, back, on));
  const find = h("input", {
    class: "find",
    type: "search",
    placeholder: "Find an agent",
    "aria-label": "Find an agent by its name or the reason",
    oninput: () => {
      [text, page] = [find.value.toLowerCase(), 0];
      draw();
    },
  });
  const turn = (/** @type {number} */ by) => {
    page += by;
    draw();
  };

  const draw = () => {
    const all = [...store.agents.values()];
    put(
      blank,
      !store.loaded
        ? loading(6)
        : all.length
          ? null
          : empty(
              "No agent has been heard of",
              "Agents appear here as soon as they say hello or send a sample.",
              "calm",
            ),
    );
    table.hidden = !all.length;
    drawChips(chips, all, wanted, (status) => {
      [wanted, page] = [wanted === status ? "" : status, 0];
      draw();
    });
    drawKinds(kinds, all);
    const found = all.filter(
      (one) =>
        (wanted ? one.status === wanted : one.status !== "retired") &&
        (!text || `${one.key} ${one.reason}`.toLowerCase().includes(text)),
    );
    found.sort(
      (a, b) =>
        STATUSES.indexOf(a.status) - STATUSES.indexOf(b.status) || a.score - b.score || (a.key < b.key ? -1 : 1),
    );
    page = Math.max(0, Math.min(page, Math.ceil(found.length / PAGE) - 1));
    const first = page * PAGE;
    const shown = found.slice(first, first + PAGE);
    keep(rows, shown, (one) => one.key, make, update);
    if (all.length && !shown.length)
      put(blank, empty("No agent fits", "Choose another status, or find something else."));
    table.hidden = !shown.length;
    pager.hidden = found.length <= PAGE;
    back.disabled = page === 0;
    on.disabled = first + PAGE >= found.length;
    say(range, `${first + 1} to ${first + shown.length} of ${found.length}`);
  };
  let waiting = 0;
  const soon = () => {
    if (waiting) return;
    waiting = window.setTimeout(() => {
      waiting = 0;
      draw();
    }, REDRAW_MS);
  };
  view.atEnd(() => clearTimeout(waiting));
  view.on("agents", soon);
  draw();
  return card("Agents", h("div", { class: "stack" }, chips, kinds, h("div", null, table, blank), pager), find);
}

/** @param {Element} host @param {AgentRow[]} all @param {string} wanted @param {(status: string) => void} choose */
function drawChips(host, all, wanted, choose) {
  const counts = STATUSES.map((status) => ({
    status,
    count: all.filter((one) => one.status === status).length,
    wanted,
  })).filter((one) => one.count || one.status === wanted);
  keep(
    host,
    counts,
    (one) => one.status,
    (one) =>
      h(
        "button",
        { type: "button", class: "chip", onclick: () => choose(one.status) },
        h("span", { class: `mark ${tone(one.status)}` }, shape(one.status), h("b")),
        words(one.status),
      ),
    (element, one) => {
      say(element.querySelector("b"), String(one.count));
      element.setAttribute("aria-pressed", String(one.wanted === one.status));
    },
  );
}

/** @param {Element} host @param {AgentRow[]} all */
function drawKinds(host, all) {
  /** @type {Map<string, Map<string, number>>} */
  const kinds = new Map();
  for (const { key, status } of all) {
    if (status === "retired") continue;
    const kind = key.split("/", 1)[0];
    const counts = kinds.get(kind) ?? new Map();
    kinds.set(kind, counts.set(status, (counts.get(status) ?? 0) + 1));
  }
  if (kinds.size < 2) return put(host);
  put(
    host,
    h(
      "div",
      { class: "kinds" },
      [...kinds]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([kind, counts]) => {
          const total = [...counts.values()].reduce((sum, one) => sum + one, 0);
          return h(
            "div",
            null,
            h(
              "div",
              { class: "line" },
              h("span", { class: "clip" }, words(kind)),
              h("span", { class: "quiet" }, total),
            ),
            strip(
              STATUSES.map((status) => [status, counts.get(status) ?? 0]),
              kind,
            ),
          );
        }),
    ),
  );
}

/** @param {AgentRow} row */
function make(row) {
  const cell = (/** @type {string | null} */ look, /** @type {any} */ content = null) =>
    h("td", { role: "cell", class: look }, content);
  return h("tr", { role: "row" }, cell(null), cell(null, agentLink(row.key)), cell(null), cell("quiet text"));
}

/** @param {any} element @param {AgentRow} row */
function update(element, row) {
  const [status, , score, why] = element.children;
  put(status, mark(row.status));
  put(
    score,
    h(
      "div",
      { class: "score" },
      h("span", null, row.score.toFixed(1)),
      meter(row.score / 100, `score ${row.score.toFixed(1)}`, tone(row.status)),
    ),
  );
  say(why, row.reason);
}
