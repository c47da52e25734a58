/** The question, its answer as it comes, and the source that is open. */

import { batch, computed, signal } from "@preact/signals";
import { type Sentence, type Source, streamAnswer } from "../api/answers";
import { asFailure, type Failure, wasStopped } from "../api/failure";
import { answerers, model } from "../api/models";
import { kept } from "../parts/kept";
import { announce } from "../parts/narrator";

export type Mode = "extractive" | "generative";

export interface Asked {
  question: string;
  mode: Mode;
  sources: Source[];
  sentences: Sentence[];
  /** Known at the end. */
  abstained: boolean | null;
}

export const question = kept("answer.question", "");
const wantedMode = kept<Mode>("answer.mode", "extractive");
export const asked = signal<Asked | null>(null);
export const failure = signal<Failure | null>(null);
export const asking = signal<AbortController | null>(null);
/** The sentence whose passage is looked at. */
export const opened = signal<number | null>(null);

/** Without a model there is nothing that writes. */
export const canWrite = computed(() => model.value !== "" && nameOf("generative") !== undefined);
export const mode = computed<Mode>(() => (wantedMode.value === "generative" && canWrite.value ? "generative" : "extractive"));

export function setMode(wanted: Mode): void {
  wantedMode.value = wanted;
}

function nameOf(wanted: Mode): string | undefined {
  const all = answerers.value.filter((each) => each.genus?.answers === wanted);
  return (wanted === "extractive" ? all[0] : all.find((each) => each.id === `${model.value}+sources`))?.id;
}

export function stop(): void {
  asking.value?.abort();
}

export async function ask(): Promise<void> {
  stop();
  const name = nameOf(mode.value);
  const text = question.value.trim();
  if (!text || !name) return;
  const controller = new AbortController();
  let state: Asked = { question: text, mode: mode.value, sources: [], sentences: [], abstained: null };
  const show = (part: Partial<Asked>) => {
    state = { ...state, ...part };
    if (asking.value === controller) asked.value = state;
  };
  batch(() => {
    asking.value = controller;
    failure.value = null;
    opened.value = null;
    show({});
  });
  announce("Searching.");
  try {
    for await (const told of streamAnswer(name, text, controller.signal)) {
      if (told.abstained !== undefined) show({ abstained: told.abstained });
      else if (told.sources) show({ sources: told.sources });
      if (told.sentence) show({ sentences: [...state.sentences, told.sentence] });
    }
    announce(state.abstained ? NOT_FOUND : state.sentences.map(spokenOf).join(" "));
  } catch (error) {
    if (!wasStopped(error) && asking.value === controller) failure.value = asFailure(error);
  } finally {
    if (asking.value === controller) asking.value = null;
  }
}

export const NOT_FOUND = "I did not find this in the corpus.";

function spokenOf(sentence: Sentence): string {
  return `${sentence.text} ${sentence.passage ? `Source ${sentence.passage.number}.` : "Unsupported."}`;
}
