/** What people say of answers: whether the server keeps it, and how it is sent there. */

import { signal } from "@preact/signals";
import type { Message } from "./chat";
import { requestJson } from "./client";

export type TaskState = "open" | "begun" | "skipped" | "done";
export type Prompt = string | Message[];

/** The labeller's desk; the tasks are in this labeller's own order. */
export interface Desk {
  open: true;
  labeller: string;
  tasks: [number, TaskState][];
  demonstrations: number;
  guideline: { digest: string; text: string } | null;
  /** Names of the yes/no questions, and their words. */
  flags: Record<string, string>;
}

/** Answers are known by their places on the page alone. */
export interface Task {
  id: number;
  prompt: Prompt;
  answers: string[];
  record: TaskRecord | null;
}

export interface Said {
  /** Groups of places, the best first; those of a group tie. */
  ranking: number[][];
  overall: (number | null)[];
  flags: string[][];
  comment: string;
  seconds: number;
}

export interface TaskRecord extends Said {
  state: TaskState;
}

export interface Agreement {
  share: number;
  low: number;
  high: number;
  pairs: number;
  tasks: number;
  labellers: number;
}

/** Null before it is known, and where the server keeps no feedback. */
export const desk = signal<Desk | null>(null);

export async function loadDesk(): Promise<void> {
  const found = await requestJson<Desk | { open: false }>("genus/feedback");
  desk.value = found.open ? found : null;
}

export function readTask(id: number): Promise<Task> {
  return requestJson<Task>(`genus/feedback/tasks/${id}`);
}

export function saveTask(id: number, body: object): Promise<unknown> {
  return post(`tasks/${id}`, body);
}

export async function readAgreement(): Promise<Agreement | null> {
  return (await requestJson<{ agreement: Agreement | null }>("genus/feedback/agreement")).agreement;
}

export async function saveDemonstration(body: object): Promise<number> {
  return ((await post("demonstrations", body)) as { demonstrations: number }).demonstrations;
}

export function saveThumb(body: object): Promise<unknown> {
  return post("thumbs", body);
}

export function savePreference(body: object): Promise<unknown> {
  return post("preferences", body);
}

/** With the name under which the page was opened: a key that changed since must not put words into another's mouth. */
function post(path: string, body: object): Promise<unknown> {
  return requestJson(`genus/feedback/${path}`, { ...body, labeller: desk.value?.labeller });
}
