/** What a labeller has said of a task so far, and what can be done to it. Pure. */

import type { Said, Task, TaskState } from "../api/feedback";

export interface Draft {
  /** 1 is the best, equal ranks tie; null has none yet. Ranks may leave gaps while one is at it. */
  ranks: (number | null)[];
  overall: (number | null)[];
  flags: string[][];
  comment: string;
}

export function letter(place: number): string {
  return String.fromCharCode(65 + place);
}

export function emptyDraft(count: number): Draft {
  const none = <T>(value: T) => Array.from({ length: count }, () => value);
  return { ranks: none(null), overall: none(null), flags: none([]), comment: "" };
}

export function draftOf(task: Task): Draft {
  const draft = emptyDraft(task.answers.length);
  if (!task.record) return draft;
  task.record.ranking.forEach((group, rank) => group.forEach((place) => (draft.ranks[place] = rank + 1)));
  return { ...draft, overall: task.record.overall, flags: task.record.flags, comment: task.record.comment };
}

export function setRank(draft: Draft, place: number, rank: number | null): Draft {
  return { ...draft, ranks: at(draft.ranks, place, rank) };
}

/** One better (-1) or worse (1); what has no rank starts at the end that it moves from. */
export function moveRank(draft: Draft, place: number, by: -1 | 1): Draft {
  const count = draft.ranks.length;
  const now = draft.ranks[place] ?? (by < 0 ? count + 1 : 0);
  return setRank(draft, place, Math.min(count, Math.max(1, now + by)));
}

export function setOverall(draft: Draft, place: number, value: number): Draft {
  return { ...draft, overall: at(draft.overall, place, value) };
}

export function setFlag(draft: Draft, place: number, flag: string, on: boolean): Draft {
  const others = draft.flags[place].filter((each) => each !== flag);
  return { ...draft, flags: at(draft.flags, place, on ? [...others, flag] : others) };
}

function at<T>(values: T[], place: number, value: T): T[] {
  return values.map((each, other) => (other === place ? value : each));
}

/** Places of the same rank together, the best first: gaps are gone. */
export function groupsOf(ranks: (number | null)[]): number[][] {
  const given = [...new Set(ranks.filter((rank) => rank !== null))].sort((one, other) => one - other);
  return given.map((rank) => ranks.flatMap((each, place) => (each === rank ? [place] : [])));
}

export function isComplete(draft: Draft): boolean {
  return draft.ranks.every((rank) => rank !== null);
}

/** The next answer without a rank after this one, around the end; null where all have one. */
export function nextUnranked(draft: Draft, after: number): number | null {
  const count = draft.ranks.length;
  for (let step = 1; step <= count; step++) {
    const place = (after + step) % count;
    if (draft.ranks[place] === null) return place;
  }
  return null;
}

/** As it is sent: what is not submitted yet keeps its gaps, so that it comes back as it was left. */
export function saidOf(draft: Draft, seconds: number, submit: boolean): Said {
  const { ranks, ...rest } = draft;
  const worst = Math.max(0, ...ranks.map((rank) => rank ?? 0));
  const gaps = Array.from({ length: worst }, (_, index) => ranks.flatMap((each, place) => (each === index + 1 ? [place] : [])));
  return { ranking: submit ? groupsOf(ranks) : gaps, ...rest, seconds };
}

/** The first task after this one, around the end, that is in one of these states. */
export function nextIn(tasks: [number, TaskState][], after: number | null, states: TaskState[]): number | null {
  const from = tasks.findIndex(([id]) => id === after) + 1;
  const turned = [...tasks.slice(from), ...tasks.slice(0, from)];
  return turned.find(([id, state]) => id !== after && states.includes(state))?.[0] ?? null;
}

/** The ranking in words: "B, then A and C". */
export function spokenRanking(ranks: (number | null)[]): string {
  return groupsOf(ranks).map((group) => group.map(letter).join(" and ")).join(", then ");
}
