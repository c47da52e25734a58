/** The models that the server holds, and the one that is chosen. */

import { computed, signal } from "@preact/signals";
import { kept } from "../parts/kept";
import { requestJson } from "./client";
import { asFailure, type Failure } from "./failure";

export interface Model {
  id: string;
  genus?: {
    loaded?: boolean;
    context?: number;
    vocab?: number;
    parameters?: number;
    family?: string;
    chat?: boolean;
    weights?: string;
    /** Of one that answers from the served index: how. */
    answers?: "extractive" | "generative";
  };
}

export const models = signal<Model[] | null>(null);
/** Those that answer from the served index; they are no choice of other pages. */
export const answerers = signal<Model[]>([]);
export const modelsFailure = signal<Failure | null>(null);
export const wantedModel = kept("model", "");

/** The chosen model, or the first where that is gone; "" before the list is known. */
export const model = computed(() => {
  const all = models.value ?? [];
  return (all.find((each) => each.id === wantedModel.value) ?? all[0])?.id ?? "";
});

export const modelFacts = computed(() => models.value?.find((each) => each.id === model.value)?.genus ?? {});

export async function loadModels(): Promise<void> {
  modelsFailure.value = null;
  try {
    const all = (await requestJson<{ data: Model[] }>("v1/models")).data;
    answerers.value = all.filter((each) => each.genus?.answers);
    models.value = all.filter((each) => !each.genus?.answers);
  } catch (error) {
    modelsFailure.value = asFailure(error);
  }
}

const hashes = new Map<string, Promise<string>>();

/** Equal for two models whose token ids mean the same. Kept, unless asking failed. */
export function tokenizerHash(id: string): Promise<string> {
  const known = hashes.get(id);
  if (known) return known;
  const asked = requestJson<{ sha256: string }>(`tokenizer_info?model=${encodeURIComponent(id)}`).then((info) => info.sha256);
  hashes.set(id, asked);
  asked.catch(() => hashes.delete(id));
  return asked;
}
