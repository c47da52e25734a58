/** The run folders that the server watches. */

import { requestJson } from "./client";

export interface RunLine {
  id: string;
  name: string;
  stage: string;
  state: "running" | "finished" | "stopped";
  step: number;
  steps: number;
  /** Seconds since 1970. */
  updated: number;
}

/** One line of metrics.jsonl. Which fields it has depends on what was measured at that step. */
export interface Metric {
  step: number;
  tokens?: number;
  loss?: number | null;
  validation_loss?: number | null;
  lr?: number | null;
  gradient_norm?: number | null;
  tokens_per_second?: number | null;
  /** What was done about a spike at this step. */
  spike?: string;
  /** Number of the detour that left this line behind. */
  abandoned?: number;
}

export interface RunDetail {
  metrics: Metric[];
  next: number;
  logbook: string;
  samples: { step: number; text: string }[];
}

export async function listRuns(stop: AbortSignal): Promise<RunLine[]> {
  return (await requestJson<{ data: RunLine[] }>("genus/runs", undefined, stop)).data;
}

export function readRun(id: string, after: number, stop: AbortSignal): Promise<RunDetail> {
  const query = after ? `?after=${after}` : "";
  // An id may be a path; its parts stay parts.
  const path = id.split("/").map(encodeURIComponent).join("/");
  return requestJson<RunDetail>(`genus/runs/${path}${query}`, undefined, stop);
}
