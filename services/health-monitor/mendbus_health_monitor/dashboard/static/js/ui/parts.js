// Small parts of pages: cards, tables, choices, links.

import { h } from "../lib/dom.js";

/** @param {string} title @param {any} body @param {any} [aside] */
export function card(title, body, aside = null) {
  const id = `c-${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}`;
  return h("section", { class: "card", "aria-labelledby": id }, h("header", null, h("h2", { id }, title), aside), body);
}

/** @param {string} title @param {any} [below] @param {any} [aside] */
export function head(title, below = null, aside = null) {
  return h(
    "div",
    { class: "head" },
    h("div", null, h("h1", { tabindex: "-1" }, title), below && h("div", { class: "quiet" }, below)),
    aside && h("div", { class: "bar" }, aside),
  );
}

/**
 * @typedef {{name: string, cell: (row: any) => any, right?: boolean, class?: string}} Column
 * A table. On a narrow screen its rows become blocks, for which its roles are named: display alone would take them away.
 * @param {string} caption for screen readers
 * @param {Column[]} columns
 * @param {any[]} rows
 */
export function table(caption, columns, rows) {
  return h(
    "div",
    { class: "wrap" },
    h(
      "table",
      { class: "rows", role: "table" },
      h("caption", { class: "unseen" }, caption),
      tableHead(columns),
      h(
        "tbody",
        { role: "rowgroup" },
        rows.map((row) => tableRow(columns, row)),
      ),
    ),
  );
}

/** @param {Column[]} columns */
function tableHead(columns) {
  return h(
    "thead",
    { role: "rowgroup" },
    h(
      "tr",
      { role: "row" },
      columns.map((one) =>
        h(
          "th",
          { scope: "col", role: "columnheader", class: classes(one) },
          one.name || h("span", { class: "unseen" }, "Actions"),
        ),
      ),
    ),
  );
}

/** @param {Column[]} columns @param {any} row */
function tableRow(columns, row) {
  return h(
    "tr",
    { role: "row" },
    columns.map((one) => h("td", { role: "cell", class: classes(one), "data-name": one.name || null }, one.cell(row))),
  );
}

/** @param {Column} column */
const classes = (column) => `${column.right ? "right nowrap" : ""} ${column.class ?? ""}`.trim() || null;

/**
 * One of several, as buttons.
 * @param {string} label
 * @param {[value: string, text: string][]} options
 * @param {string} chosen
 * @param {(value: string) => void} choose
 */
export function choice(label, options, chosen, choose) {
  const buttons = options.map(([value, text]) =>
    h(
      "button",
      {
        type: "button",
        "data-value": value,
        "aria-pressed": String(value === chosen),
        onclick: () => {
          for (const one of buttons) one.setAttribute("aria-pressed", String(one.dataset.value === value));
          choose(value);
        },
      },
      text,
    ),
  );
  return h("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

/** @param {string} text @param {(event: Event) => void} act @param {string} [kind] */
export const button = (text, act, kind = "") =>
  h("button", { type: "button", class: `button ${kind}`, onclick: act }, text);

/** @param {string} key kind/id */
export const agentLink = (key) => h("a", { href: `#/agents/${key}`, class: "agent" }, key);

/** @param {string} id @param {any} [text] */
export const incidentLink = (id, text) =>
  h("a", { href: `#/incidents/${id}` }, text ?? h("span", { class: "mono nowrap" }, id.slice(-8)));

/** @param {{kind: string, id: string} | string | null | undefined} agent */
export const keyOf = (agent) => (!agent ? "" : typeof agent === "string" ? agent : `${agent.kind}/${agent.id}`);

/** Facts as a list of name and value; what is empty is left out. @param {[string, any][]} rows */
export function facts(rows) {
  return h(
    "dl",
    { class: "facts" },
    rows
      .filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false)
      .map(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
  );
}

/** An error in one line. @param {any} error @param {number} [limit] */
export function errorLine(error, limit = 200) {
  if (!error) return "–";
  const text = typeof error === "string" ? error : `${error.exception.type}: ${error.exception.message}`;
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}

export const RANGES = /** @type {[string, string][]} */ ([
  ["1h", "1 h"],
  ["24h", "24 h"],
  ["7d", "7 d"],
  ["30d", "30 d"],
]);
