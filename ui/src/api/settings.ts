/** How tokens are chosen: the fields that every page sends, with their ranges and what they are called. */

export interface Settings {
  temperature: number;
  topP: number;
  topK: number;
  minP: number;
  presencePenalty: number;
  frequencyPenalty: number;
  repetitionPenalty: number;
  maxTokens: number;
  /** null draws a new one for each text. */
  seed: number | null;
  stop: string[];
}

export const DEFAULTS: Settings = {
  temperature: 0.8,
  topP: 0.95,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  maxTokens: 64,
  seed: null,
  stop: [],
};

export interface Dial {
  name: Exclude<keyof Settings, "seed" | "stop">;
  field: string;
  label: string;
  hint: string;
  least: number;
  most: number;
  step: number;
  /** The value at which it does nothing. */
  off?: number;
}

export const DIALS: Dial[] = [
  { name: "temperature", field: "temperature", label: "Temperature", hint: "Below 1 sharpens, above 1 flattens; 0 takes the likeliest", least: 0, most: 2, step: 0.05 },
  { name: "topP", field: "top_p", label: "Top-p", hint: "Keep the likeliest tokens up to this sum of probability", least: 0.01, most: 1, step: 0.01, off: 1 },
  { name: "topK", field: "top_k", label: "Top-k", hint: "Keep this many of the likeliest tokens; 0 keeps all", least: 0, most: 100, step: 1, off: 0 },
  { name: "minP", field: "min_p", label: "Min-p", hint: "Keep tokens at least this share as likely as the likeliest", least: 0, most: 1, step: 0.01, off: 0 },
  { name: "presencePenalty", field: "presence_penalty", label: "Presence penalty", hint: "Taken once from each token that was written already", least: -2, most: 2, step: 0.1, off: 0 },
  { name: "frequencyPenalty", field: "frequency_penalty", label: "Frequency penalty", hint: "Taken as often as a token was written already", least: -2, most: 2, step: 0.1, off: 0 },
  { name: "repetitionPenalty", field: "repetition_penalty", label: "Repetition penalty", hint: "Divides the score of tokens of prompt and text; 1 is none", least: 0.5, most: 2, step: 0.01, off: 1 },
  { name: "maxTokens", field: "max_tokens", label: "Tokens at most", hint: "Where the text ends if nothing ends it before", least: 1, most: 512, step: 1 },
];

/** The fields of a request that decide which token comes next, maxTokens, seed and stop apart. */
export function samplingFields(settings: Settings): Record<string, number> {
  const dials = DIALS.filter((dial) => dial.name !== "maxTokens");
  return Object.fromEntries(dials.map((dial) => [dial.field, settings[dial.name]]));
}

/** Drawn here and sent, so that any text can be had again. */
export function drawSeed(settings: Settings): number {
  return settings.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
}

/** How many of the likeliest tokens are told with each token. */
export const TOLD = 10;
