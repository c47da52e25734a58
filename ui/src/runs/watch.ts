/** Asks again while the page is open: the list of runs, and the new lines of the one that is looked at. */

import { batch, signal } from "@preact/signals";
import { asFailure, type Failure, wasStopped } from "../api/failure";
import { listRuns, type Metric, readRun, type RunDetail, type RunLine } from "../api/runs";
import { joined } from "./columns";

export const runs = signal<RunLine[] | null>(null);
export const runsFailure = signal<Failure | null>(null);

export interface Watched {
  id: string;
  metrics: Metric[];
  logbook: string;
  samples: RunDetail["samples"];
}

export const watched = signal<Watched | null>(null);
export const watchedFailure = signal<Failure | null>(null);

export const EVERY = 2000;

/** Runs `look` now and again after each pause, while it answers true; gives what ends that. */
function repeat(look: (stop: AbortSignal) => Promise<boolean>, failure: typeof runsFailure): () => void {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout>;
  const turn = async () => {
    try {
      const again = document.hidden || (await look(controller.signal));
      failure.value = null;
      if (again && !controller.signal.aborted) timer = setTimeout(turn, EVERY);
    } catch (error) {
      // Curves that are there stay there; the person asks again.
      if (!wasStopped(error)) failure.value = asFailure(error);
    }
  };
  void turn();
  return () => {
    controller.abort();
    clearTimeout(timer);
  };
}

export function watchRuns(): () => void {
  return repeat(async (stop) => {
    runs.value = await listRuns(stop);
    return true;
  }, runsFailure);
}

export function watchRun(id: string): () => void {
  let next = 0;
  watched.value = null;
  return repeat(async (stop) => {
    // Before the lines: a run that ends in between is read to its end all the same.
    const going = runs.value?.find((run) => run.id === id)?.state !== "finished" || next === 0;
    const detail = await readRun(id, next, stop);
    let metrics = detail.next < next ? null : joined(next ? (watched.value?.metrics ?? []) : [], detail.metrics);
    let from = detail;
    if (!metrics) {
      from = await readRun(id, 0, stop);
      metrics = from.metrics;
    }
    next = from.next;
    batch(() => (watched.value = { id, metrics: metrics!, logbook: from.logbook, samples: from.samples }));
    return going;
  }, watchedFailure);
}
