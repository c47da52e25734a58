/** What else could have come at the place that is looked at: asked of the server, and shown before it answers. */

import { computed, effect, signal } from "@preact/signals";
import { askCandidates, type Candidates } from "../api/completions";
import { asFailure, type Failure, wasStopped } from "../api/failure";
import { model } from "../api/models";
import { samplingFields, TOLD } from "../api/settings";
import { cut, type Known, type Row } from "./cut";
import { branch, path, peeked, pinned, place, prompt, settings, writing } from "./state";

export interface View {
  rows: Row[];
  /** Bits of the raw distribution; null until the server has said. */
  entropy: number | null;
  kept: number | null;
  exact: boolean;
}

/** Whether to look beyond the end before anything was written: a first slider moved says so. */
export const curious = signal(false);
export const lookupFailure = signal<Failure | null>(null);

const MOVING = 60;
const TYPING = 400;
const KEPT_AT_MOST = 300;
const answers = signal<ReadonlyMap<string, Candidates>>(new Map());

const where = computed(() => {
  const from = branch.value;
  const tokens = path.value.slice(0, place.value).map((token) => token.id);
  const known = from?.promptTokens ?? [];
  return {
    model: from?.model ?? model.value,
    prompt: known.length ? [...known, ...tokens] : (from?.prompt ?? prompt.value),
    // The penalties count these as written, not as asked.
    ...(known.length && tokens.length ? { resumed: tokens.length } : {}),
  };
});

const question = computed(() => JSON.stringify({ ...where.value, ...samplingFields(settings.value), top: TOLD }));

/** The last answer for each place, whatever the settings were: the raw probabilities in it hold for all. */
const byPlace = new Map<string, Candidates>();

export const view = computed<View>(() => {
  const exact = answers.value.get(question.value);
  if (exact) return { rows: rowsOf(exact), entropy: exact.entropy, kept: exact.kept, exact: true };
  const before = byPlace.get(JSON.stringify(where.value));
  const known: Known[] = before ? rowsOf(before) : toldRows();
  const rows = known.length ? cut(known, settings.value, counts()) : [];
  return { rows, entropy: before?.entropy ?? null, kept: null, exact: false };
});

function rowsOf(answer: Candidates): Row[] {
  return answer.candidates.map((each) => ({
    token: each.token,
    name: nameOf(each.text, each.bytes),
    logprob: each.logprob,
    probability: each.probability,
    kept: each.kept,
  }));
}

/** Bytes that are no text by themselves come out as the replacement character, which tells nobody which they are. */
function nameOf(text: string, bytes: number[] | undefined): string {
  if (!bytes || !text.includes("\ufffd")) return text;
  return `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
}

function toldRows(): Known[] {
  const told = path.value[place.value]?.top ?? [];
  return told.slice(0, TOLD).map(([name, logprob]) => ({ token: null, name, logprob }));
}

function counts(): Map<number, number> {
  const found = new Map<number, number>();
  for (const { id } of path.value.slice(0, place.value)) found.set(id, (found.get(id) ?? 0) + 1);
  return found;
}

const wanted = computed(() => {
  const looking = peeked.value !== null || pinned.value !== null;
  if (writing.value && !looking) return false;
  return where.value.model !== "" && where.value.prompt.length > 0 && (looking || curious.value || branch.value !== null);
});

let asking: AbortController | null = null;

async function ask(text: string, at: string): Promise<void> {
  asking?.abort();
  const controller = new AbortController();
  asking = controller;
  try {
    const answer = await askCandidates(JSON.parse(text), controller.signal);
    byPlace.set(at, answer);
    answers.value = new Map([...answers.value, [text, answer] as const].slice(-KEPT_AT_MOST));
    lookupFailure.value = null;
  } catch (error) {
    if (!wasStopped(error)) lookupFailure.value = asFailure(error);
  }
}

export function lookAgain(): void {
  void ask(question.peek(), JSON.stringify(where.peek()));
}

/** Ask whenever the place or a slider has stood still for a moment; gives what ends that. */
export function watchPlace(): () => void {
  return effect(() => {
    const text = question.value;
    const at = JSON.stringify(where.value);
    if (!wanted.value || answers.peek().has(text)) return;
    const timer = setTimeout(() => void ask(text, at), branch.value ? MOVING : TYPING);
    return () => clearTimeout(timer);
  });
}
