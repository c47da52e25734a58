/** /v1/completions and /v1/candidates: text with its tokens, and what else could have come. */

import { request, requestJson } from "./client";
import { readEvents } from "./events";

export interface Token {
  id: number;
  /** As the server names it: its text, or bytes:\x… where it is no text alone. */
  name: string;
  /** Raw, in nats; null where nobody knows. */
  logprob: number | null;
  top: [string, number][];
  /** Picked by the person, not drawn. */
  byHand?: true;
}

export interface Piece {
  tokens: Token[];
  text: string;
  finish: string | null;
  promptTokens: number[] | null;
}

export interface Candidate {
  token: number;
  text: string;
  bytes: number[];
  logprob: number;
  probability: number;
  kept: boolean;
}

export interface Candidates {
  entropy: number;
  kept: number;
  candidates: Candidate[];
}

interface Logprobs {
  tokens?: string[];
  token_logprobs?: (number | null)[];
  top_logprobs?: (Record<string, number> | null)[];
}

export interface Choice {
  text: string;
  finish_reason: string | null;
  token_ids?: number[];
  prompt_token_ids?: number[];
  logprobs?: Logprobs | null;
}

export async function* streamCompletion(body: object, stop: AbortSignal): AsyncGenerator<Piece> {
  const response = await request("v1/completions", { ...body, stream: true, return_token_ids: true }, stop);
  for await (const chunk of readEvents<{ choices: Choice[] }>(response)) {
    if (chunk.choices.length) yield pieceOf(chunk.choices[0]);
  }
}

export function pieceOf(choice: Choice): Piece {
  const told = choice.logprobs ?? {};
  const tokens = (choice.token_ids ?? []).map((id, place) => ({
    id,
    name: told.tokens?.[place] ?? "",
    logprob: told.token_logprobs?.[place] ?? null,
    top: Object.entries(told.top_logprobs?.[place] ?? {}).sort((one, other) => other[1] - one[1]),
  }));
  return { tokens, text: choice.text ?? "", finish: choice.finish_reason, promptTokens: choice.prompt_token_ids ?? null };
}

export function askCandidates(body: object, stop: AbortSignal): Promise<Candidates> {
  return requestJson<Candidates>("v1/candidates", body, stop);
}

/** log p of each of `tokens` after `prompt` under another model with the same tokenizer. */
export async function scoreTokens(model: string, prompt: number[], tokens: number[], stop: AbortSignal): Promise<(number | null)[]> {
  const body = { model, prompt: [...prompt, ...tokens], echo: true, max_tokens: 0, logprobs: 0, temperature: 0 };
  const answer = await requestJson<{ choices: Choice[] }>("v1/completions", body, stop);
  return (answer.choices[0]?.logprobs?.token_logprobs ?? []).slice(prompt.length, prompt.length + tokens.length);
}

export async function tokenize(model: string, prompt: string): Promise<number[]> {
  return (await requestJson<{ tokens: number[] }>("tokenize", { model, prompt })).tokens;
}
