// A line over time, drawn by hand: band of least and most, limit, what is foretold with its interval, value under the pointer.

import { h, put, s, say } from "../lib/dom.js";
import { clock } from "../lib/format.js";
import { domain, scale, thinned, ticks, together } from "./scales.js";

const HEIGHT = 120;
const LEFT = 52;
const BOTTOM = 18;
const TOP = 6;

/**
 * @typedef {{at: number, value: number, least?: number, most?: number}} Point times in nanoseconds
 * @typedef {{rate: number, soonest?: number, latest?: number, sentence: string}} Ahead a second; seconds until the limit
 * @typedef {object} Drawing
 * @property {Point[]} points oldest first
 * @property {number} from
 * @property {number} to the present
 * @property {number} step longest time between two points that belong together
 * @property {(value: number) => string} written
 * @property {number} [limit]
 * @property {Ahead | null} [ahead]
 * @property {boolean} [zero] the axis begins at zero
 * @property {number} [top] where the axis ends at the latest
 */

/** One chart with its heading. It is redrawn when its width changes. @param {string} title */
export function chart(title) {
  const value = h("b", null, "–");
  const tip = h("div", { class: "tip", hidden: true });
  const picture = s("svg", { height: HEIGHT, role: "img" });
  const below = h("p", { class: "foretold", hidden: true });
  const element = h(
    "figure",
    { class: "chart card" },
    h("header", null, h("h3", null, title), value),
    picture,
    tip,
    below,
  );
  /** @type {Drawing | null} */
  let drawing = null;
  let width = 0;
  const redraw = () => {
    if (drawing && width > 0) draw(picture, drawing, width);
  };
  const watching = new ResizeObserver(([entry]) => {
    const found = Math.round(entry.contentRect.width);
    if (found !== width) {
      width = found;
      redraw();
    }
  });
  watching.observe(picture);
  point(
    picture,
    tip,
    () => drawing,
    () => width,
  );
  return {
    element,
    end: () => watching.disconnect(),
    /** @param {string} now @param {Drawing} next */
    show(now, next) {
      drawing = next;
      say(value, now);
      picture.setAttribute("aria-label", spoken(title, now, next));
      below.hidden = !next.ahead;
      if (next.ahead) say(below, next.ahead.sentence);
      redraw();
    },
  };
}

/** @param {string} title @param {string} now @param {Drawing} drawing */
function spoken(title, now, { points, written }) {
  if (!points.length) return `${title}: nothing was told`;
  const values = points.map((one) => one.value);
  return `${title}: now ${now}, least ${written(Math.min(...values))}, most ${written(Math.max(...values))}`;
}

/** How far ahead of the present the axis reaches: nowhere unless something is foretold. @param {Drawing} drawing */
function reach({ from, to, ahead }) {
  if (!ahead) return to;
  const wanted = (ahead.latest ?? ahead.soonest ?? 0) * 1.1e9;
  return to + Math.min(Math.max(wanted, (to - from) * 0.15), (to - from) * 0.6);
}

/** @param {SVGElement} picture @param {Drawing} drawing @param {number} width */
function draw(picture, drawing, width) {
  const { points, from, to, written, limit, ahead } = drawing;
  const end = reach(drawing);
  const [low, high] = domain(points, limit, drawing.zero ?? false, drawing.top);
  const x = scale(from, end, LEFT, width - 4);
  const place = scale(low, high, HEIGHT - BOTTOM, TOP);
  const y = (/** @type {number} */ value) => place(Math.min(high, Math.max(low, value)));
  const marks = ticks(low, high);
  const parts = [];
  for (const mark of marks) {
    const at = Math.round(y(mark)) + 0.5;
    parts.push(
      s("line", { class: "grid", x1: LEFT, x2: width, y1: at, y2: at }),
      s("text", { class: "tick", x: LEFT - 8, y: at + 4, "text-anchor": "end" }, written(mark)),
    );
  }
  const names = /** @type {[number, string, string][]} */ ([
    [from, clock(from).slice(0, 5), "start"],
    [to, ahead ? "now" : clock(to).slice(0, 5), ahead ? "middle" : "end"],
  ]);
  if (!ahead) names.push([(from + to) / 2, clock((from + to) / 2).slice(0, 5), "middle"]);
  for (const [at, name, anchor] of names)
    parts.push(s("text", { class: "tick", x: x(at), y: HEIGHT - 3, "text-anchor": anchor }, name));
  for (const run of together(points, drawing.step).map((one) => thinned(one, width / 2))) {
    if (run[0].most !== undefined) parts.push(s("path", { class: "band", d: band(run, x, y) }));
    parts.push(s("path", { class: "line", d: path(run, x, y) }));
  }
  if (limit !== undefined && limit <= high) {
    const at = Math.round(y(limit)) + 0.5;
    parts.push(
      s("line", { class: "limit", x1: LEFT, x2: width, y1: at, y2: at }),
      s("text", { class: "limit-name", x: LEFT + 4, y: at + 12 }, `limit ${written(limit)}`),
    );
  }
  if (ahead && limit !== undefined && points.length) parts.push(...foretold(drawing, limit, ahead, end, x, y));
  put(picture, parts, s("g", { class: "under" }));
}

/** The line that goes on, and the fan between the soonest and the latest time at which the limit is reached. */
function foretold(
  /** @type {Drawing} */ { points, to },
  /** @type {number} */ limit,
  /** @type {Ahead} */ ahead,
  /** @type {number} */ end,
  /** @type {(value: number) => number} */ x,
  /** @type {(value: number) => number} */ y,
) {
  const level = points[points.length - 1].value;
  const seconds = (end - to) / 1e9;
  const reached = (/** @type {number | undefined} */ eta) => {
    if (eta === undefined) return [end, level];
    return eta > seconds ? [end, level + (limit - level) * (seconds / eta)] : [to + eta * 1e9, limit];
  };
  const [soon, late] = [reached(ahead.soonest), reached(ahead.latest)];
  const at = (/** @type {number[]} */ [time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`;
  const corner = soon[0] < end ? ` L${at([Math.max(soon[0], late[0]), limit])}` : "";
  const eta = ahead.rate > 0 ? (limit - level) / ahead.rate : undefined;
  return [
    s("line", { class: "today", x1: x(to), x2: x(to), y1: TOP, y2: HEIGHT - BOTTOM }),
    s("path", { class: "fan", d: `M${at([to, level])} L${at(soon)}${corner} L${at(late)} Z` }),
    s("path", { class: "ahead", d: `M${at([to, level])} L${at(reached(eta))}` }),
  ];
}

/** @param {Point[]} run @param {(at: number) => number} x @param {(value: number) => number} y */
const path = (run, x, y) =>
  run.map((one, place) => `${place ? "L" : "M"}${x(one.at).toFixed(1)},${y(one.value).toFixed(1)}`).join("") +
  (run.length === 1 ? "h1.5" : "");

/** @param {Point[]} run @param {(at: number) => number} x @param {(value: number) => number} y */
const band = (run, x, y) =>
  `M${run.map((one) => `${x(one.at).toFixed(1)},${y(one.most ?? one.value).toFixed(1)}`).join("L")}L${[...run]
    .reverse()
    .map((one) => `${x(one.at).toFixed(1)},${y(one.least ?? one.value).toFixed(1)}`)
    .join("L")}Z`;

/** Shows the value under the pointer. */
function point(
  /** @type {any} */ picture,
  /** @type {any} */ tip,
  /** @type {() => Drawing | null} */ drawn,
  /** @type {() => number} */ width,
) {
  const leave = () => {
    tip.hidden = true;
    picture.querySelector(".under")?.replaceChildren();
  };
  picture.addEventListener("pointerleave", leave);
  picture.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const drawing = drawn();
    if (!drawing?.points.length) return;
    const place = event.clientX - picture.getBoundingClientRect().left;
    const x = scale(drawing.from, reach(drawing), LEFT, width() - 4);
    const near = drawing.points.reduce((best, one) =>
      Math.abs(x(one.at) - place) < Math.abs(x(best.at) - place) ? one : best,
    );
    const [low, high] = domain(drawing.points, drawing.limit, drawing.zero ?? false, drawing.top);
    const y = scale(low, high, HEIGHT - BOTTOM, TOP);
    put(
      picture.querySelector(".under"),
      s("line", { class: "cross", x1: x(near.at), x2: x(near.at), y1: TOP, y2: HEIGHT - BOTTOM }),
      s("circle", { class: "dot", cx: x(near.at), cy: y(near.value), r: 4 }),
    );
    const reached =
      near.least === undefined
        ? ""
        : ` (${drawing.written(near.least)} to ${drawing.written(near.most ?? near.value)})`;
    say(tip, `${clock(near.at)}  ${drawing.written(near.value)}${reached}`);
    tip.hidden = false;
    tip.style.left = `${Math.max(0, Math.min(width() - tip.offsetWidth, x(near.at) - tip.offsetWidth / 2))}px`;
  });
}
