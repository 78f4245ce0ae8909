// Requests to the viewer's routes, and what went wrong with them.

/** @import { Access, Refusal } from "./types.d.ts" */

/** Lets the page draw and answer before the work goes on. */
export const pause = () => new Promise((resolve) => setTimeout(resolve, 0));

/** A server's own words, with the status and all that it answered. */
export class ServerError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   * @param {Refusal} refusal
   */
  constructor(message, status, refusal) {
    super(message);
    this.status = status;
    this.refusal = refusal;
  }
}

/**
 * The sentence of whatever was thrown.
 * @param {unknown} error
 */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/**
 * A request to the viewer's routes. Throws a ServerError where the server refuses; one that cannot be reached gives
 * another Error.
 * @param {Access} auth
 * @param {string} path below the routes' address
 * @param {RequestInit & {headers?: Record<string, string>}} [options]
 */
export async function fetchFrom(auth, path, { headers = {}, ...options } = {}) {
  const answer = await fetch(new URL(auth.api + path, location.href), {
    cache: "no-store",
    ...options,
    headers: { ...headers, "x-twin-token": auth.token },
  });
  if (answer.ok) return answer;
  /** @type {Refusal} */
  const refusal = await answer.json().catch(() => ({}));
  throw new ServerError(
    refusal.error ?? `The server answered ${answer.status}. Reload the page.`,
    answer.status,
    refusal,
  );
}

/**
 * @param {Access} auth
 * @param {string} path
 */
export const fetchBytes = async (auth, path) => (await fetchFrom(auth, path)).arrayBuffer();
