/** The task on the desk, and everything said of it, saved click by click in the order of the clicks. */

import { batch, computed, signal } from "@preact/signals";
import { type Agreement, desk, loadDesk, readAgreement, readTask, saveTask, type Task, type TaskState } from "../api/feedback";
import { asFailure, type Failure } from "../api/failure";
import { kept } from "../parts/kept";
import { announce } from "../parts/narrator";
import { type Draft, draftOf, emptyDraft, isComplete, nextIn, saidOf } from "./ranking";

interface Waiting {
  task: number;
  body: ReturnType<typeof saidOf> & { skip: boolean; submit: boolean; guideline?: string };
}

export const task = signal<Task | null>(null);
export const draft = signal<Draft>(emptyDraft(0));
export const agreed = signal<Agreement | null>(null);
/** Of loading a task, and of saving what was said. */
export const loadFailure = signal<Failure | null>(null);
export const saveFailure = signal<Failure | null>(null);
export const saving = signal<"" | "saving" | "saved">("");
/** What did not reach the server stays in this browser until it did. */
const unsaved = kept<{ labeller: string; waiting: Waiting[] }>("rank.unsaved", { labeller: "", waiting: [] });

/** Whether there is something to send again. */
export const hasUnsaved = computed(() => unsaved.value.waiting.length > 0);

const states = computed(() => new Map(desk.value?.tasks));
export const isDone = computed(() => task.value !== null && states.value.get(task.value.id) === "done");

let opened = 0;
let busy = false;
/** A second Enter, or a click after it, must not reach a task that is being submitted. */
let finishing = false;
let typing: ReturnType<typeof setTimeout> | undefined;

/** Open the desk: send what was left, then the first task that is open. */
export async function start(): Promise<void> {
  try {
    loadFailure.value = null;
    await loadDesk();
    if (unsaved.value.labeller !== desk.value?.labeller) unsaved.value = { labeller: desk.value?.labeller ?? "", waiting: [] };
    if (unsaved.value.waiting.length) {
      await flush();
      await loadDesk();
    }
    void refreshAgreement();
    const known = desk.value?.tasks ?? [];
    const first = task.value?.id ?? nextIn(known, null, ["open", "begun"]) ?? known[0]?.[0];
    if (first !== undefined) await open(first);
  } catch (error) {
    loadFailure.value = asFailure(error);
  }
}

export async function open(id: number): Promise<void> {
  commentNow();
  try {
    loadFailure.value = null;
    const found = await readTask(id);
    const left = unsaved.value.waiting.findLast((each) => each.task === id)?.body;
    const record = left ? { ...left, state: "begun" as TaskState } : found.record;
    batch(() => {
      task.value = { ...found, record };
      draft.value = draftOf(task.value);
    });
    opened = Date.now();
    announce(`Task ${placeOf(id) + 1} of ${desk.value?.tasks.length}.`);
  } catch (error) {
    loadFailure.value = asFailure(error);
  }
}

export function placeOf(id: number): number {
  return desk.value?.tasks.findIndex(([each]) => each === id) ?? -1;
}

/** The neighbour in this labeller's order; false at either end. */
export function step(by: -1 | 1): boolean {
  const next = task.value && desk.value?.tasks[placeOf(task.value.id) + by];
  if (next) void open(next[0]);
  return Boolean(next);
}

/** A click: shown at once, sent at once. */
export function change(next: Draft): void {
  if (isDone.value || finishing) return;
  clearTimeout(typing);
  draft.value = next;
  mark(task.value!.id, "begun");
  send({ skip: false, submit: false });
}

const PAUSE = 700;

/** Letters of the comment: sent when they pause. */
export function comment(text: string): void {
  draft.value = { ...draft.value, comment: text };
  clearTimeout(typing);
  typing = setTimeout(() => change(draft.value), PAUSE);
}

/** Send a comment that is being typed, rather than lose it. */
export function commentNow(): void {
  if (typing === undefined) return;
  clearTimeout(typing);
  typing = undefined;
  if (task.value && draft.value.comment !== (task.value.record?.comment ?? "")) change(draft.value);
}

export async function submit(): Promise<void> {
  if (isDone.value || finishing || !task.value) return;
  if (!isComplete(draft.value)) return announce("Some answers have no rank yet.");
  await finish({ skip: false, submit: true }, "done");
}

export async function skip(): Promise<void> {
  if (isDone.value || finishing || !task.value) return;
  await finish({ skip: true, submit: false }, "skipped");
}

async function finish(how: { skip: boolean; submit: boolean }, state: TaskState): Promise<void> {
  clearTimeout(typing);
  typing = undefined;
  const { id } = task.value!;
  finishing = true;
  try {
    send(how);
    await flush();
    if (saveFailure.value || unsaved.value.waiting.length) return;
    const next = nextIn(desk.value!.tasks, id, ["open", "begun"]);
    if (next !== null && task.value?.id === id) await open(next);
    else announce("That was the last open task.");
    mark(id, state);
    if (how.submit) void refreshAgreement();
  } finally {
    finishing = false;
  }
}

function mark(id: number, state: TaskState): void {
  if (!desk.value || states.value.get(id) === state) return;
  const tasks = desk.value.tasks.map((each): [number, TaskState] => (each[0] === id ? [id, state] : each));
  desk.value = { ...desk.value, tasks };
}

function send(how: { skip: boolean; submit: boolean }): void {
  const { id, record } = task.value!;
  const seconds = (record?.seconds ?? 0) + Math.max(0, Date.now() - opened) / 1000;
  const body = { ...saidOf(draft.value, seconds, how.submit), ...how, guideline: desk.value?.guideline?.digest };
  keep([...unsaved.value.waiting, { task: id, body }]);
  void flush();
}

function keep(waiting: Waiting[]): void {
  unsaved.value = { labeller: desk.value!.labeller, waiting };
}

let flushing: Promise<void> = Promise.resolve();

/** Send what waits, in its order; settles when all is sent or something failed. */
export function flush(): Promise<void> {
  if (!busy) {
    busy = true;
    flushing = sendAll().finally(() => (busy = false));
  }
  return flushing;
}

async function sendAll(): Promise<void> {
  if (!unsaved.value.waiting.length) return;
  saving.value = "saving";
  saveFailure.value = null;
  try {
    while (unsaved.value.waiting.length) {
      const { task: id, body } = unsaved.value.waiting[0];
      await saveTask(id, body);
      keep(unsaved.value.waiting.slice(1));
    }
    saving.value = "saved";
  } catch (error) {
    await setAside(asFailure(error));
  }
}

/** Of each task only the last word needs to be sent again, for it holds all before; one that is refused for good, never. */
async function setAside(failure: Failure): Promise<void> {
  const [first, ...rest] = unsaved.value.waiting;
  const last = new Map([first, ...rest].map((each) => [each.task, each]));
  if ([404, 409].includes(failure.status)) last.delete(first.task);
  keep([...last.values()]);
  saving.value = "";
  saveFailure.value = failure;
  if (failure.status !== 409) return;
  mark(first.task, "done");
  if (task.value?.id === first.task) await open(first.task);
}

async function refreshAgreement(): Promise<void> {
  try {
    agreed.value = await readAgreement();
  } catch {
    // A figure beside the work: the next task asks again.
  }
}
