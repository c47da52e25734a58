/** The conversations of this browser, and the answer that is being written. */

import { batch, computed, signal } from "@preact/signals";
import { streamChat } from "../api/chat";
import { asFailure, type Failure, wasStopped } from "../api/failure";
import { model } from "../api/models";
import { DEFAULTS, samplingFields, type Settings } from "../api/settings";
import { kept } from "../parts/kept";
import { beginTelling, endTelling, tell } from "../parts/narrator";
import { answer, ask, type Conversation, edit, messagesOf, soundConversations, type Turn } from "./conversation";

export const settings = kept<Settings>("chat.settings", { ...DEFAULTS, temperature: 0.7, maxTokens: 512 });
export const draft = kept("chat.draft", "");
export const failure = signal<Failure | null>(null);
export const writing = signal<AbortController | null>(null);
/** The answer so far; it joins its conversation when it ends, however it ends. */
export const arriving = signal<string | null>(null);

const stored = kept<Conversation[]>("chat.conversations", []);
const currentId = kept("chat.current", 0);
const KEPT_AT_MOST = 50;

export const conversations = computed(() => soundConversations(stored.value));
export const current = computed<Conversation>(
  () => conversations.value.find((each) => each.id === currentId.value) ?? { id: 0, system: "", turns: [] },
);

export function open(id: number): void {
  batch(() => {
    stop();
    currentId.value = id;
    failure.value = null;
  });
}

export function forget(id: number): void {
  if (currentId.value === id) open(0);
  stored.value = conversations.value.filter((each) => each.id !== id);
}

export function setSystem(system: string): void {
  save({ ...current.value, system });
}

export function send(): void {
  const text = draft.value.trim();
  if (!text || !model.value) return;
  draft.value = "";
  save(ask(current.value, text));
  void write();
}

export function resend(place: number, text: string): void {
  if (!text.trim()) return;
  stop();
  save(edit(current.value, place, text));
  void write();
}

/** Another answer to the last question; after a failure, what it did not get. */
export function again(): void {
  void write();
}

export function stop(): void {
  writing.value?.abort();
}

/** A conversation gets its number when there is something to keep. */
function save(conversation: Conversation): void {
  const id = conversation.id || Math.max(0, ...conversations.value.map((each) => each.id)) + 1;
  const others = conversations.value.filter((each) => each.id !== id);
  batch(() => {
    stored.value = [{ ...conversation, id }, ...others].slice(0, KEPT_AT_MOST);
    currentId.value = id;
  });
}

async function write(): Promise<void> {
  stop();
  const controller = new AbortController();
  const asked = current.value;
  const name = model.value;
  writing.value = controller;
  failure.value = null;
  arriving.value = "";
  beginTelling();
  let cut: Turn["cut"];
  try {
    for await (const { text, finish } of streamChat(bodyFor(asked, name), controller.signal)) {
      if (finish === "length") cut = "length";
      if (writing.value === controller) arriving.value += text;
      tell(text);
    }
    endTelling("Done.");
  } catch (error) {
    cut = wasStopped(error) ? "stopped" : "broken";
    if (!wasStopped(error) && writing.value === controller) failure.value = asFailure(error);
    endTelling(cut === "stopped" ? "Stopped." : "");
  } finally {
    if (writing.value === controller) finish(asked.id, name, cut);
  }
}

function bodyFor(asked: Conversation, name: string): object {
  const { maxTokens, seed, stop } = settings.value;
  return {
    model: name,
    messages: messagesOf(asked),
    ...samplingFields(settings.value),
    max_tokens: maxTokens,
    ...(seed === null ? {} : { seed }),
    ...(stop.length ? { stop } : {}),
  };
}

function finish(id: number, name: string, cut: Turn["cut"]): void {
  batch(() => {
    const found = conversations.value.find((each) => each.id === id);
    if (found && arriving.value) save(answer(found, { content: arriving.value, model: name, ...(cut ? { cut } : {}) }));
    arriving.value = writing.value = null;
  });
}
