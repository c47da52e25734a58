/** The columns of a comparison, what each writes, and how the others score the first one's text. */

import { batch, signal, type Signal } from "@preact/signals";
import { scoreTokens, streamCompletion, type Token } from "../api/completions";
import { asFailure, type Failure, wasStopped } from "../api/failure";
import { model, models, tokenizerHash } from "../api/models";
import { DEFAULTS, drawSeed, samplingFields, type Settings } from "../api/settings";
import { kept } from "../parts/kept";
import { announce } from "../parts/narrator";
import type { Scores } from "./difference";

export interface Setup {
  model: string;
  settings: Settings;
}

export interface Written {
  model: string;
  prompt: string;
  tokens: Token[];
  promptTokens: number[];
  finish: string | null;
  failure: Failure | null;
  running: boolean;
}

/** The first column's text under another's model: its scores, or why there are none. */
export interface Reading {
  scores: Scores | null;
  reason: string;
  failure: Failure | null;
}

export const MOST = 4;
export const LEAST = 2;

export const prompt = kept("compare.prompt", "The people of this country");
export const seed = kept<number>("compare.seed", 1);
export const setups = kept<Setup[]>("compare.columns", [
  { model: "", settings: DEFAULTS },
  { model: "", settings: { ...DEFAULTS, temperature: 0 } },
]);
export const written = signal<(Written | null)[]>([]);
export const readings = signal<(Reading | null)[]>([]);
export const writing = signal<AbortController | null>(null);

export function modelOf(setup: Setup): string {
  return models.value?.some((each) => each.id === setup.model) ? setup.model : model.value;
}

export function setSetup(column: number, part: Partial<Setup>): void {
  setups.value = setups.value.map((setup, place) => (place === column ? { ...setup, ...part } : setup));
}

/** A column's settings as a signal of their own, for the dials. */
export function settingsOf(column: number): Signal<Settings> {
  return {
    get value() {
      return setups.value[column].settings;
    },
    set value(settings: Settings) {
      setSetup(column, { settings });
    },
  } as Signal<Settings>;
}

export function addColumn(): void {
  if (setups.value.length < MOST) setups.value = [...setups.value, setups.value[setups.value.length - 1]];
}

export function removeColumn(column: number): void {
  if (setups.value.length <= LEAST) return;
  stop();
  batch(() => {
    const others = <T>(all: T[]) => all.filter((_, place) => place !== column);
    setups.value = others(setups.value);
    written.value = others(written.value);
    readings.value = column === 0 ? [] : others(readings.value);
  });
}

export function stop(): void {
  writing.value?.abort();
}

export function redrawSeed(): void {
  seed.value = drawSeed(DEFAULTS);
}

/** All columns at once, then the first one's text under the other models. */
export async function run(): Promise<void> {
  stop();
  const controller = new AbortController();
  batch(() => {
    writing.value = controller;
    written.value = setups.value.map(() => null);
    readings.value = [];
  });
  announce("Writing.");
  await Promise.all(setups.value.map((_, column) => write(column, controller)));
  if (!controller.signal.aborted) await readAll(controller);
  if (writing.value === controller) writing.value = null;
  announce("Done.");
}

/** One column again, after its failure. */
export async function retry(column: number): Promise<void> {
  const controller = writing.value ?? new AbortController();
  writing.value = controller;
  await write(column, controller);
  await readAll(controller);
  if (writing.value === controller) writing.value = null;
}

async function write(column: number, controller: AbortController): Promise<void> {
  const setup = setups.value[column];
  let state: Written = { model: modelOf(setup), prompt: prompt.value, tokens: [], promptTokens: [], finish: null, failure: null, running: true };
  const show = (part: Partial<Written>) => {
    state = { ...state, ...part };
    const all = [...written.value];
    all[column] = state;
    if (writing.value === controller) written.value = all;
  };
  show({});
  try {
    for await (const piece of streamCompletion(bodyOf(setup), controller.signal)) {
      show({
        tokens: [...state.tokens, ...piece.tokens],
        promptTokens: piece.promptTokens ?? state.promptTokens,
        finish: piece.finish ?? state.finish,
      });
    }
  } catch (error) {
    if (!wasStopped(error)) show({ failure: asFailure(error) });
  } finally {
    show({ running: false });
  }
}

function bodyOf(setup: Setup): object {
  const { settings } = setup;
  return {
    model: modelOf(setup),
    prompt: prompt.value,
    ...samplingFields(settings),
    max_tokens: settings.maxTokens,
    seed: seed.value,
    ...(settings.stop.length ? { stop: settings.stop } : {}),
    logprobs: 0,
  };
}

export async function readAll(controller = new AbortController()): Promise<void> {
  const first = written.value[0];
  if (!first?.tokens.length) return;
  const found = written.value.map(async (other, column) => (column && other ? read(first, other.model, controller) : null));
  const all = await Promise.all(found);
  if (!controller.signal.aborted) readings.value = all;
}

async function read(first: Written, other: string, controller: AbortController): Promise<Reading> {
  if (other === first.model) return { scores: null, reason: "It is the same model, so its raw probabilities are the same.", failure: null };
  try {
    const [mine, theirs] = await Promise.all([tokenizerHash(first.model), tokenizerHash(other)]);
    if (mine !== theirs) return { scores: null, reason: "It has another tokenizer, so its tokens are not the same.", failure: null };
    const ids = first.tokens.map((token) => token.id);
    return { scores: await scoreTokens(other, first.promptTokens, ids, controller.signal), reason: "", failure: null };
  } catch (error) {
    return { scores: null, reason: "", failure: wasStopped(error) ? null : asFailure(error) };
  }
}
