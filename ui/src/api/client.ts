/** Requests to the server that these pages came from, and to no other. */

import { asFailure, Failure, failureOf, wasStopped } from "./failure";
import { askForKey, knownKey } from "./key";

/** Answers with the response once it is good; asks for a key as often as the server refuses the last. */
export async function request(path: string, body?: unknown, stop?: AbortSignal): Promise<Response> {
  for (;;) {
    const response = await send(path, body, stop);
    if (response.ok) return response;
    const failure = await failureOf(response);
    if (response.status !== 401) throw failure;
    const key = await askForKey(failure.message);
    if (key === null) throw failure;
  }
}

export async function requestJson<T>(path: string, body?: unknown, stop?: AbortSignal): Promise<T> {
  const response = await request(path, body, stop);
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (wasStopped(error) || error instanceof TypeError) throw error;
    throw new Failure("server", "The server's answer is not JSON; see that the address is that of Genus.");
  }
}

async function send(path: string, body: unknown, stop?: AbortSignal): Promise<Response> {
  const key = knownKey();
  const headers: Record<string, string> = key ? { Authorization: `Bearer ${key}` } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(new URL(path, document.baseURI), {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: stop,
      cache: "no-store",
    });
  } catch (error) {
    if (wasStopped(error)) throw error;
    throw asFailure(error);
  }
}
