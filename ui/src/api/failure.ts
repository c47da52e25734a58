/** What can go wrong with a request, in words for the person who asked. */

export type FailureKind = "key" | "missing" | "busy" | "refused" | "server" | "stream" | "network";

export class Failure extends Error {
  constructor(
    readonly kind: FailureKind,
    message: string,
    readonly status = 0,
    /** Seconds after which the server wants to be asked again. */
    readonly retryAfter: number | null = null,
    /** The field of the request that was wrong, where the server says so. */
    readonly field = "",
  ) {
    super(message);
  }

  /** A model without a chat template is refused with a word about where it does answer. */
  get meantForCompletions(): boolean {
    return this.status === 400 && this.message.includes("/completions");
  }
}

export const HEADINGS: Record<FailureKind, string> = {
  key: "The server asks for a key",
  missing: "Not found",
  busy: "The server is busy",
  refused: "The request was refused",
  server: "The server failed",
  stream: "The answer broke off",
  network: "No connection",
};

/** Whether a request ended because it was stopped here, which is no failure. */
export function wasStopped(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  // fetch and stream readers throw TypeError for every trouble below HTTP.
  if (error instanceof TypeError) {
    return new Failure("network", "The connection to the server was lost. See that it is still running, then retry.");
  }
  return new Failure("server", error instanceof Error ? error.message : String(error));
}

export async function failureOf(response: Response): Promise<Failure> {
  const told = await errorOf(response);
  const message = told.message || `The server answered ${response.status} ${response.statusText}`.trim();
  const retryAfter = secondsUntil(response.headers.get("Retry-After"));
  return new Failure(kindOf(response.status), message, response.status, retryAfter, told.param);
}

function kindOf(status: number): FailureKind {
  if (status === 401 || status === 403) return "key";
  if (status === 404) return "missing";
  if (status === 429 || status === 503) return "busy";
  return status >= 500 ? "server" : "refused";
}

async function errorOf(response: Response): Promise<{ message: string; param: string }> {
  const text = await response.text().catch(() => "");
  try {
    const body = JSON.parse(text);
    const message = body?.error?.message ?? body?.detail;
    const param = body?.error?.param;
    return { message: typeof message === "string" ? message : "", param: typeof param === "string" ? param : "" };
  } catch {
    return { message: "", param: "" };
  }
}

/** Retry-After holds seconds or a date (RFC 9110, 10.2.3). */
export function secondsUntil(value: string | null, now = Date.now()): number | null {
  if (!value) return null;
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) : (Date.parse(value) - now) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}
