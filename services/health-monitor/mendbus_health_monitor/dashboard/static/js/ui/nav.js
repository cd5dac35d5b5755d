// The navigation with its counts, and what stands below it: who is at the page, and the theme.

import { h, say } from "../lib/dom.js";
import { operator, setTheme, theme, token } from "../lib/session.js";
import { signIn } from "./acting.js";
import { button } from "./parts.js";

/** @type {[string, [string, string][]][]} */
const GROUPS = [
  [
    "Now",
    [
      ["", "Overview"],
      ["incidents", "Incidents"],
      ["approvals", "Approvals"],
      ["alerts", "Alerts"],
      ["pauses", "Pause and resume"],
    ],
  ],
  [
    "Looking back",
    [
      ["strategies", "Strategies"],
      ["analytics", "Analytics"],
      ["capacity", "Capacity"],
      ["dead", "Dead letters"],
    ],
  ],
];

export function navigation() {
  /** @type {Map<string, any>} */
  const links = new Map();
  /** @type {Map<string, any>} */
  const counts = new Map();
  const nav = h(
    "nav",
    { class: "nav", "aria-label": "Pages" },
    GROUPS.map(([title, pages]) => [
      h("h2", null, title),
      h(
        "ul",
        null,
        pages.map(([name, text]) => {
          const number = h("span", { class: "count", hidden: true });
          const link = h("a", { href: `#/${name}` }, h("span", null, text), number);
          links.set(name, link);
          counts.set(name, number);
          return h("li", null, link);
        }),
      ),
    ]),
  );
  return { nav, links, counts };
}

/** @param {Map<string, any>} counts @param {string} name @param {number} number @param {string} look */
export function badge(counts, name, number, look) {
  const element = counts.get(name);
  element.hidden = !number;
  element.className = `count ${look}`.trim();
  say(element, number > 999 ? "999+" : String(number));
}

/** @param {any} meta @param {() => void} again */
export function who(meta, again) {
  const text = h("span", { class: "small quiet clip" });
  const change = button(
    "Token",
    () =>
      signIn(() => {
        tell();
        again();
      }),
    "small",
  );
  const tell = () =>
    say(text, !meta.actions ? "Read only" : token() ? operator() || "With a token" : "Without a token");
  text.title = meta.actions ? "" : `Actions are off: ${meta.actions_why ?? ""}`;
  change.hidden = !meta.actions && !meta.reading_needs_token;
  tell();
  return h("div", { class: "row" }, text, change);
}

export function themes() {
  const names = /** @type {["system" | "light" | "dark", string][]} */ ([
    ["system", "System"],
    ["light", "Light"],
    ["dark", "Dark"],
  ]);
  const chosen = theme();
  return h(
    "label",
    { class: "row" },
    h("span", { class: "small quiet" }, "Theme"),
    h(
      "select",
      { class: "button small", onchange: (/** @type {any} */ event) => setTheme(event.target.value) },
      names.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
    ),
  );
}
