// What stands around every page: navigation with counts, connection, theme, name and token, banners.

import { get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { now, when } from "../lib/format.js";
import { actButton, signIn } from "./acting.js";
import { shape } from "./marks.js";
import { badge, navigation, themes, who } from "./nav.js";
import { button } from "./parts.js";

/** @param {import("../lib/store.js").Store} store @param {any} meta @param {() => void} again after another token */
export function shell(store, meta, again) {
  const frame = /** @type {Element} */ (document.getElementById("frame"));
  const banners = h("div", { class: "banners" });
  const host = h("div");
  const main = h("main", { id: "main", tabindex: "-1" }, banners, host);
  const { nav, links, counts } = navigation();
  const state = h("div", { class: "mark" });
  const side = h(
    "div",
    { class: "side", id: "side" },
    brand(),
    nav,
    h("div", { class: "foot" }, state, who(meta, again), themes()),
  );
  const menu = h(
    "button",
    {
      class: "button",
      type: "button",
      "aria-expanded": "false",
      "aria-controls": "side",
      onclick: () => open(menu.getAttribute("aria-expanded") !== "true"),
    },
    "Menu",
  );
  const small = h("span", { class: "mark" });
  const open = (/** @type {boolean} */ wanted) => {
    side.classList.toggle("open", wanted);
    menu.setAttribute("aria-expanded", String(wanted));
  };
  put(frame, h("div", { class: "top" }, brand(), h("div", { class: "bar" }, small, menu)), side, main);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || menu.getAttribute("aria-expanded") !== "true") return;
    open(false);
    menu.focus();
  });
  document.querySelector("[data-skip]")?.addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });

  const count = () => {
    badge(counts, "incidents", [...store.incidents.values()].filter((one) => one.stage !== "settled").length, "");
    badge(counts, "approvals", store.approvals().length, "warm");
    const alerts = [...store.alerts.values()];
    badge(
      counts,
      "alerts",
      alerts.length,
      alerts.some((one) => one.state === "raised" && (one.severity === "critical" || one.severity === "major"))
        ? "hot"
        : "warm",
    );
    badge(counts, "dead", store.dead ?? 0, "");
  };
  for (const topic of /** @type {const} */ (["incidents", "alerts", "dead"])) store.on(topic, count);
  const connection = () => {
    connected(state, store, true);
    connected(small, store, false);
    banner(
      banners,
      "lost",
      store.connection.state === "live" || store.connection.state === "connecting" ? null : lost(store, again),
    );
    banner(
      banners,
      "problem",
      store.connection.state === "live" && store.problem ? notice("fair", store.problem) : null,
    );
  };
  store.on("connection", connection);
  connection();
  const paused = () => void pauses(banners, store);
  store.on("operated", (entries) => {
    if (entries.some((one) => one === null || ["pause", "resume", "latch"].includes(one.verb))) paused();
  });
  return {
    host,
    main,
    /** @param {string} page */
    current(page) {
      open(false);
      for (const [name, link] of links) {
        if (name === page) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
    },
  };
}

const brand = () =>
  h("a", { class: "brand", href: "#/" }, h("img", { src: "favicon.svg", alt: "", width: 24, height: 24 }), "Mendbus");

/** @param {Element} element @param {import("../lib/store.js").Store} store @param {boolean} whole */
function connected(element, store, whole) {
  const { state } = store.connection;
  const [look, text] = {
    connecting: ["settling", "Connecting"],
    live: ["good", "Live"],
    retrying: ["failed", "Disconnected"],
    refused: ["failed", "Token refused"],
  }[state];
  element.className = `mark ${state === "live" ? "t-well" : state === "connecting" ? "t-accent" : "t-bad"}`;
  put(element, shape(look), h("span", { class: whole ? null : "small" }, text));
}

/** @param {Element} host @param {string} name @param {any} content null: none */
function banner(host, name, content) {
  host.querySelector(`[data-name="${name}"]`)?.remove();
  if (!content) return;
  content.dataset.name = name;
  host.append(content);
}

/** @param {string} look @param {...any} content */
const notice = (look, ...content) => h("div", { class: `banner ${look}`, role: "status" }, content);

/** @param {import("../lib/store.js").Store} store @param {() => void} again */
function lost(store, again) {
  const refused = store.connection.state === "refused";
  const text = h(
    "span",
    null,
    h("strong", null, refused ? "A token is needed. " : "Disconnected. "),
    store.connection.why,
    store.loaded && " What is shown is from ",
    store.loaded && when(store.connection.since),
    store.loaded && ".",
  );
  return notice(
    "bad",
    text,
    refused ? button("Enter the token", () => signIn(again), "small") : button("Try now", again, "small"),
  );
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;
let ending = 0;

/** Says on every page that something is paused. @param {Element} host @param {import("../lib/store.js").Store} store */
async function pauses(host, store) {
  let told;
  try {
    told = await get("pauses");
  } catch {
    return; // whoever is answered nothing is told so by the connection's state
  }
  const scopes = told.pauses.map((/** @type {any} */ one) => one.scope);
  const text = told.latched
    ? [
        h("strong", null, "Recovery has switched itself off: "),
        `${told.latched}. Errors are decided and recorded, nothing is done.`,
      ]
    : scopes.length
      ? [
          h("strong", null, "Paused: "),
          `${scopes.slice(0, 3).join(", ")}${scopes.length > 3 ? ` and ${scopes.length - 3} more` : ""}. Errors are decided and recorded, nothing is done.`,
        ]
      : null;
  const aside = told.latched
    ? actButton("Resume", () => ({
        verb: "resume",
        title: "Resume everything",
        body: { target: "everything" },
        go: "Resume",
      }))
    : h("a", { class: "button small", href: "#/pauses" }, "Show");
  banner(host, "paused", text && notice(told.latched ? "bad" : "fair", h("span", null, text), aside));
  // Nobody tells of a pause that ends by itself.
  clearTimeout(ending);
  const first = Math.min(...told.pauses.map((/** @type {any} */ one) => one.until_unix_nano));
  const left = (first - now()) / 1e6 + 1000;
  if (left > 0 && left < LONGEST_TIMER_MS) ending = window.setTimeout(() => store.changed("operated", null), left);
}
