/** Chat models that answer from the served index: sentences with their passages, as a stream. */

import { request } from "./client";
import { readEvents } from "./events";

export interface Source {
  number: number;
  id: string;
  document: string;
  title: string;
  url: string;
  date: string;
  start: number;
  end: number;
  sha256: string;
  text: string;
}

export interface Span {
  start: number;
  end: number;
}

export interface Sentence {
  text: string;
  status: "quoted" | "supported" | "partial" | "unsupported";
  score: number;
  passage: { number: number } | null;
  quote?: Span;
}

/** What one event tells: the passages that were looked at, a sentence, or at the end whether anything was said. */
export interface Told {
  sources?: Source[];
  sentence?: Sentence;
  abstained?: boolean;
}

interface Chunk {
  choices: { delta?: { genus?: Told } }[];
}

export async function* streamAnswer(model: string, question: string, stop: AbortSignal): AsyncGenerator<Told> {
  const body = { model, messages: [{ role: "user", content: question }], stream: true };
  const response = await request("v1/chat/completions", body, stop);
  for await (const chunk of readEvents<Chunk>(response)) {
    const told = chunk.choices[0]?.delta?.genus;
    if (told) yield told;
  }
}
