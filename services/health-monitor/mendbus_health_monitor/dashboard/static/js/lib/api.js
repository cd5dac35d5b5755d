// What the server is asked. Every error becomes a `Failed` with a sentence for people.

import { token } from "./session.js";

const PATIENCE_MS = 30_000;

/** An answer that is none: `status` 0 when the server was not reached. */
export class Failed extends Error {
  /** @param {string} message @param {number} status */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** @param {Record<string, string>} [more] */
export function headers(more = {}) {
  return token() ? { ...more, Authorization: `Bearer ${token()}` } : more;
}

/**
 * @param {string} path
 * @param {RequestInit} options
 * @param {AbortSignal} [signal]
 */
async function ask(path, options, signal) {
  const late = AbortSignal.timeout(PATIENCE_MS);
  let response;
  try {
    response = await fetch(path, {
      ...options,
      cache: "no-store",
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failed(late.aborted ? "The server did not answer in time." : "The server is out of reach.", 0);
  }
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
  }
  if (!response.ok) throw new Failed(body?.error ?? `The server answered ${response.status}.`, response.status);
  if (body === null) throw new Failed("The server's answer could not be read.", response.status);
  return body;
}

/**
 * Reads one document of `/api`.
 * @param {string} path
 * @param {Record<string, string | number | boolean | undefined>} [query]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export function get(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "" && value !== false);
  const text = new URLSearchParams(
    given.map(([name, value]) => [name, value === true ? "1" : String(value)]),
  ).toString();
  return ask(`api/${path}${text ? `?${text}` : ""}`, { headers: headers() }, signal);
}

/**
 * Has something done.
 * @param {string} verb
 * @param {Record<string, unknown>} body
 * @returns {Promise<any>}
 */
export function act(verb, body) {
  return ask(`api/actions/${verb}`, {
    method: "POST",
    headers: headers({ "Content-Type": "application/json" }),
    body: JSON.stringify(body),
  });
}

/** The path of an agent below `/api`. @param {string} key */
export const agentPath = (key) => `agents/${key.split("/").map(encodeURIComponent).join("/")}`;
