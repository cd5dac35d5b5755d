// What is to come: what runs out, when, and what to scale; which failures were foretold.

import { get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { bytes, measured, metricName, percent, span, words } from "../lib/format.js";
import { fullness, meter } from "../ui/bars.js";
import { foretold } from "../ui/foretold.js";
import { agentLink, card, head, table } from "../ui/parts.js";
import { empty } from "../ui/states.js";

const TIGHT = 0.7;
const FRESH_MS = 20_000;

/** @param {import("../lib/view.js").View} view */
export function capacityPage(view) {
  view.title = "Capacity";
  const host = h("div", { class: "stack" });
  const own = h("div", { class: "stack" });
  const ahead = h("div", { class: "stack" });
  let every = false;
  put(
    view.element,
    head(
      "Capacity",
      "Memory, disk, queue and descriptors against their limits, what Mendbus itself can take, and failures foretold.",
    ),
    host,
    ahead,
  );
  /** @type {any} */
  let told = null;
  const draw = () => {
    put(own, mendbus(view.store.capacity ?? told.mendbus));
    const rows = told.agents.filter((/** @type {any} */ one) => every || one.scale || one.share >= TIGHT);
    const kinds = told.kinds.filter((/** @type {any} */ one) => one.sentence);
    put(
      host,
      own,
      kinds.length
        ? card(
            "Kinds of agents",
            h(
              "ul",
              { class: "said-by" },
              kinds.map((/** @type {any} */ one) =>
                h("li", null, h("div", null, one.sentence), h("div", { class: "quiet" }, one.scale)),
              ),
            ),
          )
        : null,
      card(
        "Agents",
        rows.length
          ? table("Resources of agents against their limits", columns, rows)
          : empty(
              told.agents.length ? "Nothing runs out" : "No agent has told a limit",
              told.agents.length ? `${told.agents.length} resources have plenty of room.` : "",
              "calm",
            ),
        h(
          "label",
          { class: "mark" },
          h("input", {
            type: "checkbox",
            checked: every,
            onchange: (/** @type {any} */ event) => {
              every = event.target.checked;
              draw();
            },
          }),
          "Also what has plenty of room",
        ),
      ),
    );
  };
  const part = view.part(
    host,
    (signal) => get("capacity", {}, signal),
    (answer) => {
      told = answer;
      draw();
    },
    { lines: 8 },
  );
  const predictions = view.part(
    ahead,
    (signal) => get("predictions", {}, signal),
    (answer) => put(ahead, foretold(answer)),
    { lines: 4 },
  );
  view.on("capacity", () => {
    if (told) put(own, mendbus(view.store.capacity));
    part.soon(FRESH_MS);
    predictions.soon(FRESH_MS);
  });
}

const columns = [
  { name: "Agent", cell: (/** @type {any} */ one) => agentLink(one.agent) },
  { name: "Resource", cell: (/** @type {any} */ one) => metricName(one.metric) },
  {
    name: "Used",
    right: true,
    cell: (/** @type {any} */ one) => `${measured(one.metric, one.level)} of ${measured(one.metric, one.limit)}`,
  },
  {
    name: "",
    class: "shares",
    cell: (/** @type {any} */ one) => meter(one.share, `${percent(one.share)} used`, fullness(one.share)),
  },
  {
    name: "A minute",
    right: true,
    class: "wide",
    cell: (/** @type {any} */ one) =>
      one.per_second ? `${one.per_second > 0 ? "+" : ""}${((one.per_second * 6000) / one.limit).toFixed(2)} %` : "–",
  },
  { name: "Runs out in", right: true, cell: eta },
  { name: "What to scale", class: "text", cell: (/** @type {any} */ one) => one.scale ?? "–" },
];

/** @param {any} one */
function eta(one) {
  if (one.eta_seconds === undefined || (one.agent && !one.scale)) return "–";
  return `${span(one.eta_seconds)} (${span(one.eta_low)} to ${one.eta_high === undefined ? "never" : span(one.eta_high)})`;
}

/** @param {any} own */
function mendbus(own) {
  if (!own?.recoveries)
    return card("Mendbus itself", empty("Nothing is known yet", "It is looked at every ten seconds."));
  const { recoveries, errors, streams } = own;
  const rate = (/** @type {number | undefined} */ value) => (value === undefined ? "–" : `${value.toFixed(1)}/s`);
  const share = recoveries.share ?? (recoveries.now_per_s ?? 0) / recoveries.sustainable_per_s;
  const figures = /** @type {[string, string, string][]} */ ([
    ["Recoveries now", rate(recoveries.now_per_s), `${rate(recoveries.peak_per_s)} at most of late`],
    ["Sustained", rate(recoveries.sustainable_per_s), "by the setting for this machine"],
    ["Room for", rate(recoveries.headroom_per_s), "more"],
    ["Errors waiting", String(errors.waiting_at_most), "at most"],
  ]);
  return card(
    "Mendbus itself",
    h(
      "div",
      { class: "stack" },
      h(
        "dl",
        { class: "figures" },
        figures.map(([name, value, below]) =>
          h(
            "div",
            null,
            h("dt", { class: "quiet small" }, name),
            h("dd", { class: "big" }, value),
            h("dd", { class: "quiet small" }, below),
          ),
        ),
      ),
      meter(share, `${percent(share)} of what is sustained`, fullness(share)),
      recoveries.sentence && h("p", null, `${recoveries.sentence}: ${recoveries.scale ?? ""}`),
      table(
        "Streams",
        [
          { name: "Stream", cell: (one) => h("span", { class: "mono" }, one.stream) },
          {
            name: "Size",
            right: true,
            cell: (one) => (one.max_bytes ? `${bytes(one.bytes)} of ${bytes(one.max_bytes)}` : bytes(one.bytes)),
          },
          {
            name: "",
            class: "shares",
            cell: (one) =>
              one.share === undefined
                ? h("span", { class: "quiet" }, "no limit")
                : meter(one.share, `${percent(one.share)} full`, fullness(one.share)),
          },
          { name: "Full in", right: true, cell: eta },
          {
            name: "When full",
            class: "wide",
            cell: (one) => words(one.refuses_when_full ? "refuses" : "forgets the oldest"),
          },
        ],
        streams,
      ),
    ),
  );
}
