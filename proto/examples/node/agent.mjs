// A Mendbus agent in Node, written from ../../README.md. Its work: it loads a JSON file again and again, and reports
// when it cannot. It is healed by loading once more (retry), or by the last content that could be loaded (rollback).
//   NATS_URL=nats://127.0.0.1:4222 AGENT=developer_tools/node-1 FILE=settings.json node agent.mjs
import { randomBytes, randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { decode, encode } from "@msgpack/msgpack";
import { jetstream } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import { access, refused } from "./access.mjs";

const { NATS_URL = "nats://127.0.0.1:4222", MENDBUS_ROOT = "mendbus.v1", FILE = "settings.json" } = process.env;
const [kind, id] = (process.env.AGENT ?? "developer_tools/node-1").split("/");
const agent = { kind, id, version: "1.0.0", instance: randomUUID() };
const interval_ms = 500;
const now = () => BigInt(Date.now()) * 1_000_000n; // nanoseconds do not fit a JavaScript number
const pack = (value) => encode(value, { useBigInt64: true, ignoreUndefined: true });
const unpack = (bytes) => decode(bytes, { useBigInt64: true });
const subject = (family) => `${MENDBUS_ROOT}.${family}.${kind}.${id}`;
const say = (event, more) => console.log(JSON.stringify({ event, ...more }));
const cut = (text, bytes) => // at a character's edge
  new TextDecoder().decode(Buffer.from(text.toWellFormed()).subarray(0, bytes), { stream: true });

// --- The work, and how it is healed.
let good, before; // the last content that could be loaded; the content that a rollback replaced
async function load() {
  const text = await readFile(FILE, "utf8");
  JSON.parse(text);
  good = text;
}
const strategies = {
  retry: {
    async apply({ operation, parameters: { max_tries = 3, base_ms = 50, max_ms = 1000 } }) {
      if (operation !== "load") throw new Error(`there is no operation ${operation}`);
      for (let tried = 1; ; tried++) {
        try { return await load(); } catch (error) { if (tried >= max_tries) throw error; }
        await sleep(Math.random() * Math.min(max_ms, base_ms * 2 ** tried));
      }
    },
  },
  rollback: {
    async apply() {
      if (good === undefined) throw new Error("nothing was ever loaded");
      before = await readFile(FILE, "utf8").catch(() => "");
      await writeFile(FILE, good);
    },
    undo: () => writeFile(FILE, before),
  },
};

// --- Errors: kept until they are settled, sent one at a time and under one id until they are acknowledged.
const outbox = new Map(); // event id -> { body, traced, first, acked }
function report({ name, message, stack = "" }) {
  const lines = [...stack.matchAll(/^ *at (?:(.+) \()?(.+?):(\d+):\d+\)?$/gm)].slice(0, 64).reverse();
  const frames = lines.map(([, called = "", path, line]) => (
    { file: cut(path, 1024), function: cut(called, 256), line: Number(line), in_app: !path.startsWith("node:") }));
  const exception = { type: cut(name, 256), message: cut(message, 8192), stacktrace: cut(stack, 16384), frames };
  const event = { id: randomUUID(), time_unix_nano: now(), agent, exception, severity: "error", operation: "load" };
  const [trace, traced] = [randomBytes(16).toString("hex"), headers()];
  traced.set("traceparent", `00-${trace}-${randomBytes(8).toString("hex")}-01`);
  outbox.set(event.id, { body: pack({ ...event, category: "configuration" }), traced, first: Date.now() });
  say("reported", { id: event.id, trace });
}
async function send() {
  for (let pause = 100; ; await sleep(pause * Math.random())) {
    const [msgID, entry] = [...outbox].find(([, { acked }]) => !acked) ?? [];
    const late = [...outbox].filter(([, { acked }]) => Date.now() - acked > 30_000).map(([one]) => one);
    try {
      if (late.length) await ask(late.slice(0, 900));
      if (!entry) continue;
      if (Date.now() - entry.first > 300_000) { await ask([msgID]); continue; }
      await jetstream(nc).publish(subject("error.error"), entry.body, { msgID, timeout: 2000, headers: entry.traced });
      [entry.acked, pause] = [Date.now(), 100];
    } catch { pause = Math.min(pause * 2, 5000); }
  }
}
async function ask(event_ids) { // what became of these?
  const reply = await nc.request(subject("settled"), pack({ event_ids, agent }), { timeout: 2000 });
  const { settled = [], open = [], unknown = [] } = unpack(reply.data);
  for (const one of settled) outbox.delete(one);
  for (const one of open) Object.assign(outbox.get(one) ?? {}, { acked: Date.now() });
  for (const one of unknown) Object.assign(outbox.get(one) ?? {}, { acked: undefined, first: Date.now() });
}

// --- Commands: each done at most once.
let [fence, memory] = [-1n, new Map()]; // command id -> { result, ended }
async function take({ command_id, agent: to, instance = agent.instance, strategy, action, ...command }, arrived) {
  if (to.kind !== kind || to.id !== id || instance !== agent.instance) return { command_id, status: "misaddressed" };
  for (const [one, { ended }] of memory) if (memory.size > 1000 || Date.now() - ended > 600_000) memory.delete(one);
  if (memory.has(command_id)) return memory.get(command_id).result;
  if (command.fence < fence) return { command_id, status: "stale" };
  const act = Object.hasOwn(strategies, strategy) && strategies[strategy][action];
  const [began, result] = [Date.now(), { command_id, status: "done" }];
  if (now() > command.deadline_unix_nano && began - arrived >= command.timeout_ms) result.status = "expired";
  else if (!act) result.status = "unsupported";
  else {
    fence = BigInt(command.fence);
    await act(command).catch(({ name, message }) =>
      Object.assign(result, { status: "failed", code: cut(name, 256), detail: cut(message, 1024) }));
    result.duration_ms = Date.now() - began;
  }
  memory.set(command_id, { result, ended: Date.now() });
  say("command", { strategy, action, status: result.status });
  return result;
}

// --- Life: listen, say hello, then work.
const nc = await connect({ servers: NATS_URL, name: `${kind}/${id}`, maxReconnectAttempts: -1, ...access(kind, id) });
let turn = Promise.resolve(); // commands wait for one another, probes do not
const hear = {
  command: (command, arrived) => (turn = turn.catch(() => {}).then(() => take(command, arrived))),
  probe: () => load().then(() => ({ healthy: true }), ({ message }) => ({ healthy: false, detail: cut(message, 1024) }))
    .then((result) => ({ ...result, operation: "load", checked_unix_nano: now() })),
  settlement({ event_ids, outcome }) {
    for (const one of event_ids) if (outbox.delete(one)) say("settled", { id: one, outcome });
  },
  outcome({ outcome, incident_id, strategy, settled }) {
    if (outcome === "rejected") outbox.delete(incident_id);
    say("outcome", { outcome, incident: incident_id, strategy, settled });
  },
};
for (const [family, handle] of Object.entries(hear)) nc.subscribe(subject(family), { callback: async (_, message) => {
  try {
    const body = unpack(message.data);
    const answer = refused(family, message, body) ?? await handle(body, Date.now());
    if (answer) message.respond(pack(answer));
  } catch ({ message: detail }) { say("refused", { family, detail }); } // what is no valid message changes nothing
} });
async function hello() {
  const body = pack({ agent, strategies: Object.keys(strategies), operations: [{ name: "load" }], interval_ms });
  for (let pause = 100; ; pause = Math.min(pause * 2, 5000)) {
    const reply = await nc.request(subject("agent.hello"), body, { timeout: 1000 }).catch(() => undefined);
    if (reply?.data.length && unpack(reply.data).stored) return say("greeted");
    await sleep(pause);
  }
}
hello();
(async () => { for await (const { type } of nc.status()) if (type === "reconnect") hello(); })();
process.once("SIGTERM", () => {
  nc.publish(subject("agent.goodbye"), pack({ id: randomUUID(), time_unix_nano: now(), agent, reason: "SIGTERM" }));
  nc.drain().then(() => process.exit(0));
});
send();
for (let tick = 0, failing = false; ; tick++, await sleep(interval_ms / 5)) {
  await load().then(() => { failing = false; }, (error) => { if (!failing) report(error); failing = true; });
  const metrics = { memory_bytes: process.memoryUsage.rss(), queue_depth: outbox.size };
  const sample = { agent, time_unix_nano: now(), sequence: tick / 5, interval_ms, metrics };
  if (tick % 5 === 0) nc.publish(subject("health"), pack(sample));
}
