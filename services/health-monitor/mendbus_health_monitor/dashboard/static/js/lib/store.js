// The live picture: a snapshot, then every change. Whoever shows it is told once a frame what has changed.

import { get } from "./api.js";
import { now, setClock } from "./format.js";
import { Stream } from "./stream.js";

/**
 * @typedef {{key: string, status: string, score: number, reason: string, changed_unix_nano: number}} AgentRow
 * @typedef {{incident_id: string, agent: string, error: string, opened_unix_nano: number, stage: string, told: string,
 *   errors: number, outcome: string | null, strategy?: string, category?: string, severity?: string,
 *   times: Record<string, number>, left?: number}} LiveIncident
 * @typedef {Record<string, any>} AlertRow
 * @typedef {"agents" | "incidents" | "alerts" | "rates" | "operated" | "dead" | "capacity" | "connection" | "sample"} Topic
 */

/** How long an incident that is over is still shown among those under way. */
const LINGER_MS = 6000;
/** Incidents that are held, as many as the server holds and those that linger; the oldest give way. */
const MOST = 2000;

export class Store {
  constructor() {
    /** @type {Map<string, AgentRow>} */
    this.agents = new Map();
    /** @type {Map<string, LiveIncident>} */
    this.incidents = new Map();
    /** @type {Map<string, AlertRow>} */
    this.alerts = new Map();
    /** @type {Record<string, number>} */
    this.rates = {};
    /** @type {number | null} */
    this.dead = null;
    /** @type {any} */
    this.capacity = null;
    this.problem = "";
    this.loaded = false;
    /** @type {{state: "connecting" | "live" | "retrying" | "refused", why: string, since: number}} */
    this.connection = { state: "connecting", why: "", since: now() };
    /** @type {Set<{topic: Topic, hear: (keys: any[]) => void}>} */
    this.hearers = new Set();
    /** @type {Map<Topic, Set<any>>} */
    this.news = new Map();
    this.stream = new Stream({
      snapshot: () => this.snapshot(),
      batch: (batch) => this.take(batch),
      state: (state, why) => this.connected(state, why),
    });
  }

  /** @param {Topic} topic @param {(keys: any[]) => void} hear @returns {() => void} ends it */
  on(topic, hear) {
    const hearer = { topic, hear };
    this.hearers.add(hearer);
    return () => this.hearers.delete(hearer);
  }

  /** @param {Topic} topic @param {any} key */
  changed(topic, key) {
    if (!this.news.size) {
      // A hidden page gets no frames; it must not gather for ever, and shows all of it when it is looked at.
      if (document.hidden) setTimeout(() => this.tell(), 1000);
      else requestAnimationFrame(() => this.tell());
    }
    let keys = this.news.get(topic);
    if (!keys) this.news.set(topic, (keys = new Set()));
    keys.add(key);
  }

  tell() {
    const news = this.news;
    this.news = new Map();
    for (const hearer of [...this.hearers]) {
      const keys = news.get(hearer.topic);
      if (keys) hearer.hear([...keys]);
    }
  }

  /** Everything as it is now. @returns {Promise<string>} */
  async snapshot() {
    const told = await get("snapshot");
    setClock(told.now_unix_nano);
    this.agents = new Map(told.agents.map((/** @type {AgentRow} */ row) => [row.key, row]));
    this.incidents = new Map(told.incidents.map((/** @type {LiveIncident} */ row) => [row.incident_id, row]));
    this.alerts = new Map(told.alerts.map((/** @type {AlertRow} */ row) => [row.key, row]));
    this.rates = told.rates;
    this.dead = told.dead ?? null;
    this.problem = told.problem ?? "";
    this.loaded = true;
    for (const topic of /** @type {Topic[]} */ ([
      "agents",
      "incidents",
      "alerts",
      "rates",
      "dead",
      "operated",
      "connection",
    ]))
      this.changed(topic, null);
    return told.event;
  }

  /** @param {any} batch */
  take(batch) {
    setClock(batch.now_unix_nano);
    for (const event of batch.events) this.apply(event);
  }

  /** @param {any} event */
  apply(event) {
    switch (event.kind) {
      case "agent":
        this.agents.set(event.agent.key, event.agent);
        this.changed("agents", event.agent.key);
        break;
      case "incident":
        this.applyIncident(event.incident);
        break;
      case "alert":
        this.applyAlert(event.alert);
        break;
      case "rates":
        this.rates = event.rates;
        this.changed("rates", null);
        break;
      case "operated":
        this.changed("operated", event.entry);
        break;
      case "dead":
        if (this.dead !== null) this.dead += 1;
        this.changed("dead", event);
        break;
      case "capacity":
        this.capacity = event.mendbus;
        this.changed("capacity", null);
        break;
      case "sample":
        this.changed("sample", event);
        break;
      case "problem":
        this.problem = event.problem;
        this.changed("connection", null);
        break;
      default: // a newer server tells more than this page knows
    }
  }

  /** @param {LiveIncident} incident */
  applyIncident(incident) {
    const id = incident.incident_id;
    if (incident.stage === "settled") {
      const over = { ...incident, left: Date.now() };
      this.incidents.set(id, over);
      setTimeout(() => {
        if (this.incidents.get(id) === over) this.incidents.delete(id);
        this.changed("incidents", id);
      }, LINGER_MS);
    } else this.incidents.set(id, incident);
    if (this.incidents.size > MOST) this.incidents.delete(/** @type {string} */ (this.incidents.keys().next().value));
    this.changed("incidents", id);
  }

  /** @param {AlertRow} alert */
  applyAlert(alert) {
    if (alert.state === "resolved") this.alerts.delete(alert.key);
    else this.alerts.set(alert.key, alert);
    this.changed("alerts", alert.key);
  }

  /** @param {"live" | "retrying" | "refused"} state @param {string} why */
  connected(state, why) {
    if (this.connection.state !== state || this.connection.why !== why)
      this.connection = { state, why, since: state === this.connection.state ? this.connection.since : now() };
    this.changed("connection", null);
  }

  /** Incidents under way, then those that wait for a person, the newest of each first. */
  live() {
    const waits = (/** @type {LiveIncident} */ one) => Number(one.stage === "waiting");
    return [...this.incidents.values()].sort((a, b) => waits(a) - waits(b) || b.opened_unix_nano - a.opened_unix_nano);
  }

  /** Incidents that wait until a person approves. */
  approvals() {
    return [...this.incidents.values()].filter((one) => one.stage === "waiting" && one.outcome === "awaiting_approval");
  }
}

/** The worst first. */
export const STATUSES = ["failed", "critical", "poor", "fair", "good", "excellent", "unknown", "retired"];
export const ALERT_SEVERITIES = ["critical", "major", "minor", "warning", "info"];
