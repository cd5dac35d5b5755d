// The charts of one agent, and the same in numbers.

import { h, put } from "../lib/dom.js";
import { measured, metricName, now } from "../lib/format.js";
import { chart } from "./chart.js";
import { card, choice, table } from "./parts.js";

const SECOND = 1e9;
const SPANS = {
  short: { length: 600 * SECOND, step: 5 * SECOND },
  long: { length: 86400 * SECOND, step: 150 * SECOND },
};
/** @type {Record<string, string>} */
const LIMITS = { memory_bytes: "memory_bytes", queue_depth: "queue_depth" };
/** @type {Record<string, number>} */
const TOPS = { availability_ratio: 1, cache_hit_ratio: 1, score: 100, disk_percent: 100 };
const FROM_ZERO = new Set([
  "score",
  "cpu_percent",
  "errors_per_s",
  "queue_depth",
  "throughput_per_s",
  "network_bytes_per_s",
  "response_time_ms",
]);

/** @param {import("../lib/view.js").View} view @param {string[]} metrics */
export function metricBoard(view, metrics) {
  const names = ["score", ...metrics];
  const charts = new Map(names.map((name) => [name, chart(metricName(name))]));
  view.atEnd(() => charts.forEach((one) => one.end()));
  /** @type {"short" | "long"} */
  let shown = "short";
  /** @type {any} */
  let told = null;
  const grid = h("div", { class: "charts" });
  const numbers = h("div");
  const host = h("div");
  const ranges = choice(
    "Time shown",
    [
      ["short", "10 min"],
      ["long", "24 h"],
    ],
    shown,
    (value) => {
      shown = /** @type {"short" | "long"} */ (value);
      draw();
    },
  );
  const element = h("div", { class: "stack" }, h("div", { class: "bar" }, ranges), host);

  const draw = () => {
    if (!told) return;
    const to = now();
    const { length, step } = SPANS[shown];
    const limits = told.limits ?? told.hello?.limits ?? {};
    const seen = names.filter(
      (name) =>
        told.seconds.some((/** @type {any} */ one) => name in one.metrics) ||
        told.minutes.some((/** @type {any} */ one) => name in one.metrics),
    );
    const wanted = seen.map((name) => charts.get(name)?.element);
    if (wanted.some((one, place) => grid.children[place] !== one) || grid.children.length !== wanted.length)
      put(grid, wanted);
    const interval = Math.max(step, 3e6 * (told.hello?.interval_ms ?? 0));
    for (const name of seen) {
      const points = (shown === "short" ? lately(told.seconds, name) : day(told.minutes, name)).filter(
        (one) => one.at >= to - length,
      );
      const resource = (told.capacity?.agents ?? []).find((/** @type {any} */ one) => one.metric === name);
      charts.get(name)?.show(measured(name, name === "score" ? told.score : told.metrics[name]), {
        points,
        from: to - length,
        to,
        step: interval,
        written: (value) => measured(name, value),
        limit: resource?.limit ?? limits[LIMITS[name] ?? ""],
        ahead: foretold(resource),
        zero: FROM_ZERO.has(name),
        top: TOPS[name],
      });
    }
    const missing = names.filter((name) => !seen.includes(name));
    put(
      numbers,
      seen.length ? inNumbers(seen, told) : h("p", { class: "quiet" }, "Nothing was told of its metrics yet."),
      seen.length && missing.length
        ? h("p", { class: "quiet small" }, `Not told by it: ${missing.map(metricName).join(", ")}.`)
        : null,
    );
  };
  return {
    element,
    host,
    /** @param {any} next the answer of `/api/agents/KIND/ID` */
    show(next) {
      told = next;
      put(
        host,
        h(
          "div",
          { class: "stack" },
          grid,
          card("In numbers", h("details", null, h("summary", null, "Now, least, mean and most"), numbers)),
        ),
      );
      draw();
    },
    /** One more second. @param {any} sample */
    add(sample) {
      if (!told) return;
      const metrics = sample.score === undefined ? sample.metrics : { ...sample.metrics, score: sample.score };
      told.seconds.push({ time_unix_nano: sample.time_unix_nano, metrics });
      while (told.seconds.length && told.seconds[0].time_unix_nano < now() - SPANS.short.length) told.seconds.shift();
      told.metrics = { ...told.metrics, ...sample.metrics };
      if (sample.score !== undefined) told.score = sample.score;
      draw();
    },
  };
}

/** @param {any[]} rows @param {string} name */
const lately = (rows, name) =>
  rows.filter((one) => name in one.metrics).map((one) => ({ at: one.time_unix_nano, value: one.metrics[name] }));

/** @param {any[]} rows @param {string} name */
const day = (rows, name) =>
  rows
    .filter((one) => name in one.metrics)
    .map((one) => ({
      at: one.time_unix_nano,
      least: one.metrics[name][0],
      value: one.metrics[name][1],
      most: one.metrics[name][2],
    }));

/** @param {any} resource of capacity */
function foretold(resource) {
  if (!resource || !resource.scale || resource.eta_seconds === undefined) return null;
  return {
    rate: resource.per_second,
    soonest: resource.eta_low,
    latest: resource.eta_high,
    sentence: resource.sentence,
  };
}

/** The command line's own columns: of the day's rows where there are some, else of the last ten minutes. @param {string[]} names @param {any} told */
function inNumbers(names, told) {
  const reach = (/** @type {string} */ name) => {
    const rows = day(told.minutes, name);
    if (rows.length) {
      const counts = told.minutes
        .filter((/** @type {any} */ one) => name in one.metrics)
        .map((/** @type {any} */ one) => one.metrics[name][3]);
      const total = counts.reduce((/** @type {number} */ sum, /** @type {number} */ one) => sum + one, 0);
      return [
        Math.min(...rows.map((one) => one.least)),
        rows.reduce((sum, one, place) => sum + one.value * counts[place], 0) / total,
        Math.max(...rows.map((one) => one.most)),
      ];
    }
    const values = lately(told.seconds, name).map((one) => one.value);
    return values.length
      ? [Math.min(...values), values.reduce((sum, one) => sum + one, 0) / values.length, Math.max(...values)]
      : [];
  };
  return table(
    "Metrics in numbers, of the last 24 hours",
    [
      { name: "Metric", cell: (name) => metricName(name) },
      { name: "Now", right: true, cell: (name) => measured(name, name === "score" ? told.score : told.metrics[name]) },
      ...["Least", "Mean", "Most"].map((title, place) => ({
        name: title,
        right: true,
        cell: (/** @type {string} */ name) => measured(name, reach(name)[place]),
      })),
    ],
    names,
  );
}
