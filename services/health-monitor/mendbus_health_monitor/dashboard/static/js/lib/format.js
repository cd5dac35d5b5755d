// How numbers and times are written: the same units and digits as the command line's.

import { h } from "./dom.js";

/** @type {Record<string, string>} */
const UNITS = {
  cpu_percent: " %",
  disk_percent: " %",
  memory_bytes: "B",
  network_bytes_per_s: "B/s",
  errors_per_s: "/s",
  throughput_per_s: "/s",
  response_time_ms: " ms",
  temperature_celsius: " °C",
  power_watts: " W",
};
const RATIOS = new Set(["availability_ratio", "cache_hit_ratio"]);
const SIZES = ["B", "kB", "MB", "GB", "TB", "PB"];
/** @type {Record<string, string>} */
const NAMES = {
  cpu_percent: "CPU",
  memory_bytes: "Memory",
  disk_percent: "Disk",
  network_bytes_per_s: "Network",
  errors_per_s: "Errors",
  response_time_ms: "Response time",
  throughput_per_s: "Throughput",
  availability_ratio: "Availability",
  temperature_celsius: "Temperature",
  power_watts: "Power",
  cache_hit_ratio: "Cache hits",
  queue_depth: "Queue",
  score: "Score",
};

/** So many significant digits, without an exponent for everyday numbers. @param {number} value @param {number} digits */
export function significant(value, digits) {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 1e15 ? value.toExponential(digits - 1) : String(Number(value.toPrecision(digits)));
}

/** @param {number} value */
export function bytes(value) {
  let size = 0;
  while (Math.abs(value) >= 1000 && size < SIZES.length - 1) [value, size] = [value / 1000, size + 1];
  return `${significant(value, 3)} ${SIZES[size]}`;
}

/** A metric's value with its unit. @param {string} metric @param {number | null | undefined} value */
export function measured(metric, value) {
  if (value === null || value === undefined) return "–";
  if (RATIOS.has(metric)) return `${significant(value * 100, 3)} %`;
  const unit = UNITS[metric] ?? "";
  if (unit.startsWith("B")) return bytes(value) + unit.slice(1);
  return (Math.abs(value) >= 1000 ? value.toFixed(0) : significant(value, metric === "score" ? 3 : 4)) + unit;
}

/** @param {string} metric */
export const metricName = (metric) => NAMES[metric] ?? words(metric);

/** `scale_down` is "scale down" for people. @param {string | null | undefined} token */
export const words = (token) => (token ?? "").replaceAll("_", " ");

/** With a capital. @param {string | null | undefined} token */
export function titled(token) {
  const text = words(token);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** @param {number | null | undefined} ms */
export function millis(ms) {
  if (ms === null || ms === undefined) return "–";
  return ms < 10000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** A duration in three digits, in the unit that fits. @param {number} ms */
export function shortly(ms) {
  if (ms < 1000) return `${significant(ms, 3)} ms`;
  return ms < 120_000 ? `${significant(ms / 1000, 3)} s` : span(ms / 1000);
}

/** @param {number | null | undefined} from @param {number | null | undefined} to */
export const between = (from, to) => (from && to ? millis((to - from) / 1e6) : "–");

/** @param {number | null | undefined} share @param {number} [digits] */
export const percent = (share, digits = 1) =>
  share === null || share === undefined ? "–" : `${(share * 100).toFixed(digits)} %`;

/** @param {number} seconds */
export function span(seconds) {
  const size = Math.max(0, seconds);
  if (size < 120) return `${size.toFixed(0)} s`;
  if (size < 7200) return `${(size / 60).toFixed(0)} min`;
  return size < 172800 ? `${(size / 3600).toFixed(1)} h` : `${(size / 86400).toFixed(0)} d`;
}

/** @param {number} unixNano @param {number} now in nanoseconds */
export function ago(unixNano, now) {
  const seconds = Math.max(0, (now - unixNano) / 1e9);
  for (const [size, unit] of /** @type {[number, string][]} */ ([
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
  ]))
    if (seconds >= 2 * size) return `${(seconds / size).toFixed(0)} ${unit}`;
  return `${seconds.toFixed(0)} s`;
}

const pad = (/** @type {number} */ value, width = 2) => String(value).padStart(width, "0");

/** A time in UTC, to the millisecond, as everywhere in Mendbus. @param {number} unixNano */
export function moment(unixNano) {
  return new Date(unixNano / 1e6).toISOString().replace("T", " ");
}

/** A time of day of this place. @param {number} unixNano */
export function clock(unixNano) {
  const at = new Date(unixNano / 1e6);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

/** The offset of the server's clock from this machine's, in nanoseconds. */
let ahead = 0;

/** @param {number} serverNano */
export function setClock(serverNano) {
  ahead = serverNano - Date.now() * 1e6;
}

/** Nanoseconds since 1970 by the server's clock. */
export const now = () => Date.now() * 1e6 + ahead;

/**
 * A relative time that goes on by itself, with the absolute one on hover; `future`: until then.
 * @param {number | null | undefined} unixNano
 * @param {{future?: boolean, suffix?: string}} [options]
 */
export function when(unixNano, { future = false, suffix = " ago" } = {}) {
  if (!unixNano) return h("span", null, "–");
  const element = h("time", {
    datetime: new Date(unixNano / 1e6).toISOString(),
    title: moment(unixNano),
    class: "nowrap",
  });
  element.__at = unixNano;
  element.__future = future;
  element.__suffix = suffix;
  tell(element);
  return element;
}

/** @param {any} element */
function tell(element) {
  const text = element.__future
    ? `in ${ago(2 * now() - element.__at, now())}`
    : ago(element.__at, now()) + element.__suffix;
  if (element.textContent !== text) element.textContent = text;
}

/** Lets every relative time on the page go on. */
export function startTimes() {
  setInterval(() => {
    if (!document.hidden)
      for (const element of /** @type {Iterable<any>} */ (document.querySelectorAll("time")))
        if (element.__at) tell(element);
  }, 1000);
}
