// The way of an incident as seven stages that light up as they are passed.

import { h, say } from "../lib/dom.js";
import { now, shortly } from "../lib/format.js";

export const STAGES = ["received", "classified", "assessed", "decided", "acting", "verifying", "settled"];

/**
 * @typedef {object} Way
 * @property {string} stage the stage it is at; `waiting` for a person, `settling` before it is settled
 * @property {string | null} [outcome]
 * @property {Record<string, number>} times when each was passed
 */

/** @param {Way} way @returns {string[]} of each stage: passed, now, stuck, over, lost or nothing */
export function lights(way) {
  const { times } = way;
  const good =
    way.outcome === null || way.outcome === undefined || way.outcome === "recovered" || way.outcome === "no_action";
  if (way.stage === "settled")
    return STAGES.map((name) => (good ? "over" : times[name] ? "passed" : name === "settled" ? "lost" : ""));
  const at = way.stage === "settling" ? 6 : STAGES.indexOf(way.stage);
  const last =
    way.stage === "waiting" ? Math.max(0, ...STAGES.map((name, place) => (times[name] && place < 6 ? place : 0))) : at;
  return STAGES.map((_, place) => {
    if (place < last) return "passed";
    if (place > last) return "";
    return way.stage === "waiting" ? "stuck" : "now";
  });
}

/** In words, for screen readers. @param {Way & {told?: string}} way */
const told = (way) => (way.stage === "waiting" ? `waits: ${way.told ?? ""}` : way.told || way.stage);

/**
 * @param {Way & {told?: string}} way
 * @param {{slim?: boolean, timed?: boolean}} [options] slim: without words; timed: with the time from the first stage
 */
export function track(way, { slim = false, timed = false } = {}) {
  const element = h(
    "ol",
    { class: `track${slim ? " slim" : ""}${timed ? " timed" : ""}`, "aria-label": "Stages" },
    STAGES.map((name) =>
      h(
        "li",
        null,
        slim ? h("span", { class: "unseen" }) : [name, timed && h("br"), timed && h("span", { class: "at quiet" })],
      ),
    ),
  );
  light(element, way, { slim, timed });
  return element;
}

/** @param {Element} element a track @param {Way & {told?: string}} way @param {{slim?: boolean, timed?: boolean}} [options] */
export function light(element, way, { slim = false, timed = false } = {}) {
  const shown = lights(way);
  const begun = way.times.received;
  STAGES.forEach((name, place) => {
    const item = element.children[place];
    if (item.className !== shown[place]) item.className = shown[place];
    if (shown[place] === "now" || shown[place] === "stuck") item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
    if (slim)
      say(
        /** @type {Element} */ (item.firstElementChild),
        shown[place] ? `${name}: ${shown[place] === "now" ? told(way) : shown[place]}` : name,
      );
    const at = way.times[name];
    if (timed)
      say(
        /** @type {Element} */ (item.lastElementChild),
        at && begun ? (place ? `+${shortly(Math.max(0, at - begun) / 1e6)}` : "0 ms") : "",
      );
  });
}

/** An outcome's times by the names of the stages. @param {any} outcome @param {any[]} outcomes @param {any[]} journal */
export function wayOf(outcome, outcomes, journal) {
  const seen = outcome?.times ?? {};
  /** @type {Record<string, number>} */
  const times = {
    received: seen.reported,
    classified: seen.classified,
    assessed: seen.assessed,
    decided: seen.selected,
    acting: seen.commanded,
    verifying: seen.acted,
  };
  const settled = outcomes.some((one) => one.settled);
  if (settled) {
    const entry = journal.find((one) => one.type === "concluded" && one.outcome?.settled);
    if (entry) times.settled = entry.time_unix_nano;
  }
  if (!times.received && journal.length) times.received = journal[0].time_unix_nano;
  for (const name of Object.keys(times)) if (!times[name]) delete times[name];
  const word = outcome?.outcome ?? null;
  const ended = settled || word === "no_action" || word === "rejected";
  let stage = ended ? "settled" : word === "recovered" ? "settling" : word ? "waiting" : "received";
  if (!word) for (const name of STAGES) if (times[name]) stage = name;
  return { stage, outcome: word, told: word ?? "under way", times, at: now() };
}
