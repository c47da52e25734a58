/** /v1/chat/completions, streamed. */

import { request } from "./client";
import { readEvents } from "./events";

export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface Delta {
  text: string;
  finish: string | null;
}

interface Chunk {
  choices: { delta?: { content?: string | null }; finish_reason: string | null }[];
}

export async function* streamChat(body: object, stop: AbortSignal): AsyncGenerator<Delta> {
  const response = await request("v1/chat/completions", { ...body, stream: true }, stop);
  for await (const chunk of readEvents<Chunk>(response)) {
    const choice = chunk.choices[0];
    if (choice) yield { text: choice.delta?.content ?? "", finish: choice.finish_reason };
  }
}
