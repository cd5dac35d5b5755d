// What people can do about an incident.

import { titled, words } from "../lib/format.js";
import { errorLine, keyOf } from "./parts.js";

/** @typedef {import("./acting.js").Deed} Deed */

/** @param {any} one an incident's last outcome */
const what = (one) => `${keyOf(one.agent)}: ${errorLine(one.error, 160)}`;

/** @param {any} one @returns {Deed} */
export const approveDeed = (one) => ({
  verb: "approve",
  title: `Approve of ${words(one.strategy) || "it"}`,
  what: what(one),
  body: { incident: one.incident_id },
  go: "Approve",
});

/** @param {any} one @returns {Deed} */
export const rejectDeed = (one) => ({
  verb: "reject",
  title: `Deny ${words(one.strategy) || "it"}`,
  what: `${what(one)}. The incident is escalated.`,
  body: { incident: one.incident_id },
  go: "Deny",
});

/** @param {any} one @returns {Deed} */
export const closeDeed = (one) => ({
  verb: "close",
  title: "Close the incident",
  what: what(one),
  body: { incident: one.incident_id },
  go: "Close",
});

/** @param {string} incident @returns {Deed} */
export const noteDeed = (incident) => ({
  verb: "note",
  title: "Write a note",
  body: { incident },
  fields: [{ name: "text", label: "Note", kind: "area", needed: true }],
  go: "Write",
  reason: "none",
});

/** @param {any} one @param {any} meta @returns {Deed} */
export const relabelDeed = (one, meta) => ({
  verb: "relabel",
  title: "Say what it really was",
  what: "Nothing is done again; analytics and training count it so.",
  body: { incident: one.incident_id },
  fields: [
    {
      name: "category",
      label: "Category",
      kind: "choice",
      value: one.classification?.category,
      options: meta.categories.map((/** @type {string} */ name) => [name, titled(name)]),
    },
    {
      name: "severity",
      label: "Severity",
      kind: "choice",
      value: "",
      options: [["", "As found"], ...meta.severities.map((/** @type {string} */ name) => [name, titled(name)])],
    },
  ],
  go: "Relabel",
  reason: "needed",
});
