/** What the playground knows, and what can be done in it. */

import { batch, computed, effect, signal } from "@preact/signals";
import { type Piece, streamCompletion, type Token, tokenize } from "../api/completions";
import { asFailure, Failure, wasStopped } from "../api/failure";
import { model } from "../api/models";
import { DEFAULTS, drawSeed, samplingFields, type Settings, TOLD } from "../api/settings";
import { spell } from "../api/spelling";
import { kept } from "../parts/kept";
import { beginTelling, endTelling, tell } from "../parts/narrator";
import { type Branch, extend, grow, NO_TREE, pathOf, remove, select, selectedBranch, type Tree } from "./tree";

export const prompt = kept("playground.prompt", "We the people of the United States");
export const settings = kept<Settings>("playground.settings", DEFAULTS);
export const tree = signal<Tree>(NO_TREE);
export const past = signal<Tree[]>([]);
export const failure = signal<Failure | null>(null);
/** How to stop what is being written; null while nothing is. */
export const writing = signal<AbortController | null>(null);
/** The place in the path that is looked at for good, and the one under the pointer; null is the end. */
export const pinned = signal<number | null>(null);
export const peeked = signal<number | null>(null);

export const branch = computed(() => selectedBranch(tree.value));
export const path = computed<Token[]>(() => (tree.value.selected === null ? [] : pathOf(tree.value, tree.value.selected)));
export const texts = computed(() => spell(path.value.map((token) => token.name)));
export const place = computed(() => Math.min(peeked.value ?? pinned.value ?? path.value.length, path.value.length));

const UNDONE_AT_MOST = 100;

function change(next: Tree): void {
  past.value = [...past.value, tree.value].slice(-UNDONE_AT_MOST);
  tree.value = next;
}

/** Write from the prompt as it stands now. */
export function generate(): void {
  begin(grow(tree.value, null, 0, { prompt: prompt.value, promptTokens: [], model: model.value, seed: drawSeed(settings.value) }));
}

/** Another text from where the selected one left its parent, by a seed of its own. */
export function regenerate(): void {
  const from = branch.value;
  if (!from) return generate();
  const seed = settings.value.seed === null ? drawSeed(settings.value) : from.seed + 1;
  const tokens = from.tokens.slice(0, from.chosen);
  begin(grow(tree.value, from.parent, from.at, { ...origin(from), seed, tokens }));
}

/** Go on after `at` tokens of what is shown with a token of the person's choice. */
export async function branchAt(at: number, token: Token): Promise<void> {
  const from = branch.value;
  const { promptTokens: told, ...rest } = from ? origin(from) : { prompt: prompt.value, promptTokens: [], model: model.value };
  try {
    const promptTokens = told.length ? told : await tokenize(rest.model, rest.prompt);
    begin(grow(tree.value, from?.id ?? null, at, { ...rest, promptTokens, seed: drawSeed(settings.value), tokens: [token] }));
  } catch (error) {
    failure.value = asFailure(error);
  }
}

/** More of the selected text; after a failure, what was lost of it. */
export function proceed(): void {
  if (branch.value) void write(branch.value.id);
}

export function stop(): void {
  writing.value?.abort();
}

export function undo(): void {
  stop();
  const before = past.value.at(-1);
  if (!before) return;
  batch(() => {
    tree.value = { ...before, next: tree.value.next };
    past.value = past.value.slice(0, -1);
    pinned.value = peeked.value = failure.value = null;
  });
}

export function choose(id: number): void {
  batch(() => {
    tree.value = select(tree.value, id);
    pinned.value = peeked.value = null;
  });
}

export function discard(id: number): void {
  if (writing.value && tree.value.selected === id) stop();
  change(remove(tree.value, id));
  pinned.value = peeked.value = null;
}

function origin({ prompt, promptTokens, model }: Branch) {
  return { prompt, promptTokens, model };
}

function begin(next: Tree): void {
  batch(() => {
    change(next);
    pinned.value = peeked.value = null;
  });
  void write(next.selected!);
}

async function write(id: number): Promise<void> {
  stop();
  const controller = new AbortController();
  writing.value = controller;
  failure.value = null;
  beginTelling();
  try {
    await read(id, controller.signal);
    endTelling("Done.");
  } catch (error) {
    if (!wasStopped(error) && writing.value === controller) failure.value = asFailure(error);
    endTelling(wasStopped(error) ? "Stopped." : "");
  } finally {
    if (writing.value === controller) writing.value = null;
  }
}

/** Whether the server can go on with a seed after tokens that it is given; vLLM cannot, and says so once. */
let resumes = true;

async function read(id: number, stop: AbortSignal): Promise<void> {
  try {
    for await (const piece of streamCompletion(requestFor(id), stop)) add(id, piece);
  } catch (error) {
    if (!resumes || !(error instanceof Failure) || error.field !== "resumed") throw error;
    resumes = false;
    await read(id, stop);
  }
}

function add(id: number, piece: Piece): void {
  tree.value = extend(tree.value, id, piece);
  tell(piece.text);
}

function requestFor(id: number): object {
  const { prompt, promptTokens, model, seed } = tree.value.branches.get(id)!;
  const tokens = pathOf(tree.value, id).map((token) => token.id);
  const { maxTokens, stop } = settings.value;
  return {
    model,
    prompt: promptTokens.length ? [...promptTokens, ...tokens] : prompt,
    // Penalties and randomness go on as if the text had never ended.
    ...(resumes && promptTokens.length && tokens.length ? { resumed: tokens.length } : {}),
    ...samplingFields(settings.value),
    max_tokens: maxTokens,
    seed,
    ...(stop.length ? { stop } : {}),
    logprobs: TOLD,
  };
}

// What is looked at may lie beyond the end of another branch.
effect(() => {
  if (pinned.value !== null && pinned.value > path.value.length) pinned.value = null;
});
