// One agent: twelve metrics over ten minutes and a day with what is foretold, its incidents, alerts and checkpoints.

import { agentPath, get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { bytes, measured, metricName, now, when, words } from "../lib/format.js";
import { metricBoard } from "../ui/metricboard.js";
import { incidentTable } from "../ui/incidenttable.js";
import { alertCards } from "../ui/alertcards.js";
import { actButton } from "../ui/acting.js";
import { mark, tag } from "../ui/marks.js";
import { card, facts, head, table } from "../ui/parts.js";
import { empty } from "../ui/states.js";

/** @param {import("../lib/view.js").View} view @param {string} kind @param {string} id */
export function agentPage(view, kind, id) {
  const key = `${kind}/${id}`;
  view.title = key;
  const { store } = view;
  const status = h("div", { class: "bar" });
  const board = metricBoard(view, view.meta.metrics);
  const details = h("div");
  const signals = h("div");
  const checkpoints = h("div");
  const incidents = h("div");
  put(
    view.element,
    head(key, status, [
      actButton(
        "Pause",
        () => ({
          verb: "pause",
          title: `Pause ${key}`,
          what: "Its errors are decided and recorded; nothing is done for as long.",
          body: { target: key },
          fields: [{ name: "for", label: "For how long", value: "1h", needed: true }],
          go: "Pause",
        }),
        "",
      ),
      actButton(
        "Silence its alerts",
        () => ({
          verb: "silence",
          title: `Silence ${key}`,
          what: "Its alerts are raised and kept; they notify nobody for as long.",
          body: { agent: key },
          fields: [{ name: "for", label: "For how long", value: "2h", needed: true }],
          go: "Silence",
        }),
        "",
      ),
    ]),
    board.element,
    h(
      "div",
      { class: "halves" },
      card(
        "Open alerts",
        alertCards(view, (alert) => alert.agent?.kind === kind && alert.agent?.id === id),
      ),
      card("What was found in its metrics", signals),
    ),
    card("Incidents, last 24 h", incidents),
    h("div", { class: "halves" }, card("Checkpoints", checkpoints), card("What it says of itself", details)),
  );

  const showStatus = (/** @type {any} */ row) =>
    put(
      status,
      tag(row.status),
      row.score !== undefined && h("span", null, `score ${row.score.toFixed(1)}`),
      h("span", { class: "any" }, row.reason),
    );
  const whole = view.part(
    board.host,
    (signal) => get(agentPath(key), {}, signal),
    (told) => {
      const live = store.agents.get(key);
      showStatus(live ?? told);
      board.show(told);
      put(details, itself(told));
      put(signals, findings(told));
    },
    { lines: 8 },
  );
  view.part(
    checkpoints,
    (signal) => get(`${agentPath(key)}/checkpoints`, {}, signal),
    (rows) =>
      put(
        checkpoints,
        rows.length
          ? table(
              "Checkpoints, the newest first",
              [
                { name: "Checkpoint", cell: (one) => h("span", { class: "mono any" }, one.id) },
                { name: "Version", cell: (one) => one.version ?? "–" },
                {
                  name: "Good",
                  cell: (one) => (one.good ? mark("done", "good") : h("span", { class: "quiet" }, "not known to be")),
                },
                { name: "Size", right: true, cell: (one) => bytes(one.size) },
                { name: "Made", right: true, cell: (one) => when(one.time_unix_nano) },
              ],
              rows,
            )
          : empty("No checkpoint", "A rollback has nothing to go back to."),
      ),
  );
  const listed = view.part(
    incidents,
    (signal) => get("incidents", { agent: key, limit: 20 }, signal),
    (rows) =>
      put(
        incidents,
        rows.length
          ? incidentTable([...rows].reverse(), { agent: false })
          : empty("No incident", "in the last 24 hours", "calm"),
      ),
  );

  store.stream.setWatch(key);
  view.on("sample", (events) => {
    for (const one of events) if (one.agent === key) board.add(one);
  });
  view.on("agents", (keys) => {
    const row = store.agents.get(key);
    if (row && (keys.includes(key) || keys.includes(null))) showStatus(row);
    if (keys.includes(null)) whole.soon(5000);
  });
  view.on("incidents", (ids) => {
    if (ids.some((one) => one === null || store.incidents.get(one)?.agent === key)) listed.soon(1000);
  });
}

/** @param {any} told */
function itself(told) {
  const hello = told.hello ?? {};
  const limits = told.limits ?? hello.limits ?? {};
  const names = (/** @type {any[] | undefined} */ list) =>
    list?.length ? list.map((one) => words(typeof one === "string" ? one : one.name)).join(", ") : "";
  const samples = Object.entries(told.samples ?? {}).filter(([, count]) => count);
  return facts([
    ["Version", told.agent.version],
    ["Process", told.agent.instance && h("span", { class: "mono" }, told.agent.instance)],
    ["Last heard", told.last_seen_unix_nano && when(told.last_seen_unix_nano)],
    ["Strategies", names(hello.strategies)],
    ["Operations", names(hello.operations)],
    ["Optional features", names(hello.features)],
    ["Depends on", names(hello.depends_on)],
    [
      "Limits",
      Object.entries(limits)
        .map(([name, value]) => `${metricName(name)} ${measured(name, /** @type {number} */ (value))}`)
        .join(", "),
    ],
    ["Interval", hello.interval_ms && `${hello.interval_ms} ms`],
    ["Samples dropped", samples.map(([name, count]) => `${count} ${words(name)}`).join(", ")],
  ]);
}

/** @param {any} told */
function findings(told) {
  const found = told.signals?.findings ?? [];
  const ahead = (told.capacity?.agents ?? []).filter((/** @type {any} */ one) => one.scale);
  if (!found.length && !ahead.length)
    return empty("Nothing out of the ordinary", "No trend, change or anomaly, and nothing that runs out.", "calm");
  return h(
    "ul",
    { class: "said-by" },
    ahead.map((/** @type {any} */ one) =>
      h("li", null, h("div", null, one.sentence), h("div", { class: "quiet" }, one.scale)),
    ),
    found.map((/** @type {any} */ one) =>
      h(
        "li",
        null,
        h("div", null, one.sentence ?? one.summary ?? `${words(one.kind)} of ${metricName(one.metric ?? "")}`),
        one.since_unix_nano &&
          one.since_unix_nano < now() &&
          h("div", { class: "quiet small" }, when(one.since_unix_nano)),
      ),
    ),
  );
}
