// Axes: from where to where, and at which round numbers there is a line.

/** @param {number} from @param {number} to @param {number} start @param {number} end */
export const scale = (from, to, start, end) => {
  const size = to - from || 1;
  return (/** @type {number} */ value) => start + ((value - from) / size) * (end - start);
};

/** A step of 1, 2 or 5 times a power of ten, so that about `count` of them fill the size. @param {number} size @param {number} count */
function round(size, count) {
  const rough = size / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const part = rough / power;
  return (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10) * power;
}

/**
 * Least and most of the axis. It begins at zero where that costs little of the height; a limit is shown where it is near.
 * @param {{value: number, least?: number, most?: number}[]} points
 * @param {number | undefined} limit
 * @param {boolean} zero
 * @param {number} [top] no value is greater
 * @returns {[number, number]}
 */
export function domain(points, limit, zero, top = Infinity) {
  let [low, high] = [Infinity, -Infinity];
  for (const one of points) {
    low = Math.min(low, one.least ?? one.value);
    high = Math.max(high, one.most ?? one.value);
  }
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  if (limit !== undefined && limit < high * 2.5) high = Math.max(high, limit);
  if (zero || (low >= 0 && low < 0.5 * high)) low = Math.min(0, low);
  if (high - low < 1e-9 * Math.max(1, Math.abs(high)))
    [low, high] = low ? [low - Math.abs(low) * 0.05, high + Math.abs(high) * 0.05] : [0, 1];
  if (zero && top < Infinity) return [low, top];
  const step = round(high - low, 3);
  return [Math.floor(low / step + 1e-9) * step, Math.min(top, Math.ceil(high / step - 1e-9) * step)];
}

/** @param {number} low @param {number} high */
export function ticks(low, high) {
  const step = round(high - low, 3);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step)
    found.push(Number(at.toPrecision(12)));
  return found;
}

/** @typedef {import("./chart.js").Point} Point */

/** Points without a gap between them. @param {Point[]} points @param {number} step */
export function together(points, step) {
  /** @type {Point[][]} */
  const runs = [];
  for (const one of points) {
    const run = runs[runs.length - 1];
    if (run && one.at - run[run.length - 1].at <= step) run.push(one);
    else runs.push([one]);
  }
  return runs;
}

/** Where there are more points with a reach than can be told apart: fewer, each with the reach of those it stands for. @param {Point[]} run @param {number} most */
export function thinned(run, most) {
  const size = Math.ceil(run.length / Math.max(1, most));
  if (size < 2 || run[0].most === undefined) return run;
  const found = [];
  for (let from = 0; from < run.length; from += size) {
    const part = run.slice(from, from + size);
    found.push({
      at: part[Math.floor(part.length / 2)].at,
      value: part.reduce((sum, one) => sum + one.value, 0) / part.length,
      least: Math.min(...part.map((one) => one.least ?? one.value)),
      most: Math.max(...part.map((one) => one.most ?? one.value)),
    });
  }
  return found;
}
