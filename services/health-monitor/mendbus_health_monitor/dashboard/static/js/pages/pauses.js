// Pause and resume: everything, a kind, an agent.

import { get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { when, words } from "../lib/format.js";
import { actButton } from "../ui/acting.js";
import { agentLink, card, facts, head, table } from "../ui/parts.js";
import { mark } from "../ui/marks.js";
import { empty } from "../ui/states.js";

/** @param {import("../lib/view.js").View} view */
export function pausesPage(view) {
  view.title = "Pause and resume";
  const host = h("div", { class: "stack" });
  put(
    view.element,
    head(
      "Pause and resume",
      "While something is paused, its errors are decided and recorded; nothing is done. What is parked is taken up at the end.",
      actButton("Pause", () => pauseDeed(view), "main"),
    ),
    host,
  );
  const told = view.part(
    host,
    (signal) => get("pauses", {}, signal),
    (now) =>
      put(
        host,
        card(
          "Recovery",
          facts([
            [
              "It is",
              now.latched
                ? mark("failed", `off: ${now.latched}`)
                : now.pauses.some((/** @type {any} */ one) => one.scope === "everything")
                  ? mark("suppressed", "paused")
                  : mark("done", now.pauses.length ? "on, but for what is paused" : "on"),
            ],
            ["Policy", now.policy_digest && h("span", { class: "mono" }, now.policy_digest)],
            ["Problems", now.policy_problems?.join("; ")],
            ["Not known", now.unseen ? `nobody spoke for ${now.unseen} partitions` : null],
          ]),
          now.latched && actButton("Resume everything", () => resumeDeed("everything"), "main"),
        ),
        card(
          "Paused now",
          now.pauses.length
            ? table(
                "What is paused",
                [
                  { name: "What", cell: (one) => (one.scope.includes("/") ? agentLink(one.scope) : words(one.scope)) },
                  { name: "Until", cell: (one) => when(one.until_unix_nano, { future: true }) },
                  { name: "By", cell: (one) => one.by },
                  { name: "Why", class: "text", cell: (one) => one.reason ?? "–" },
                  { name: "", right: true, cell: (one) => actButton("Resume", () => resumeDeed(one.scope)) },
                ],
                now.pauses,
              )
            : empty("Nothing is paused", "", "calm"),
        ),
      ),
  );
  view.on("operated", () => told.soon(200));
}

/** @param {string} scope @returns {import("../ui/acting.js").Deed} */
const resumeDeed = (scope) => ({
  verb: "resume",
  title: `Resume ${words(scope)}`,
  body: { target: scope },
  go: "Resume",
});

/** @param {import("../lib/view.js").View} view @returns {import("../ui/acting.js").Deed} */
function pauseDeed(view) {
  const agents = [...view.store.agents.values()]
    .filter((one) => one.status !== "retired")
    .map((one) => one.key)
    .sort();
  const kinds = [...new Set(agents.map((key) => key.split("/", 1)[0]))];
  const options = /** @type {[string, string][]} */ ([
    ["target=everything", "Everything"],
    ...kinds.map((kind) => [`target=${kind}`, `Agents of the kind ${kind}`]),
    ...agents.slice(0, 300).map((key) => [`target=${key}`, key]),
  ]);
  return {
    verb: "pause",
    title: "Pause",
    what: "Errors are decided and recorded, nothing is done.",
    body: {},
    fields: [
      { name: "scope", label: "What", kind: "choice", options },
      { name: "for", label: "For how long", value: "1h", needed: true, hint: "Such as 30m, 1h or 1d; 7d at most." },
    ],
    go: "Pause",
  };
}
