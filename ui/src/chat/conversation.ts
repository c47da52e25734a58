/** A conversation as a value, and what can be done to it. Pure. */

import type { Message } from "../api/chat";

export interface Turn extends Message {
  role: "user" | "assistant";
  /** Why the answer ended before its end: it was stopped, cut at the limit, or broke off. */
  cut?: "stopped" | "length" | "broken";
  model?: string;
}

export interface Conversation {
  id: number;
  system: string;
  turns: Turn[];
}

const TITLE = 48;

export function titleOf(conversation: Conversation): string {
  const text = conversation.turns[0]?.content.replace(/\s+/g, " ").trim() ?? "";
  return text.length > TITLE ? `${text.slice(0, TITLE - 1)}…` : text || "New conversation";
}

/** What is sent: the system prompt if there is one, and all turns up to the last question. */
export function messagesOf({ system, turns }: Conversation): Message[] {
  const asked = upToQuestion(turns).map(({ role, content }) => ({ role, content }));
  return system.trim() ? [{ role: "system", content: system }, ...asked] : asked;
}

export function ask(conversation: Conversation, content: string): Conversation {
  return { ...conversation, turns: [...conversation.turns, { role: "user", content }] };
}

/** Ask again at `place` in other words: what followed is gone. */
export function edit(conversation: Conversation, place: number, content: string): Conversation {
  return { ...conversation, turns: [...conversation.turns.slice(0, place), { role: "user", content }] };
}

/** The answer to the last question, in place of one that it has already. */
export function answer(conversation: Conversation, turn: Omit<Turn, "role">): Conversation {
  return { ...conversation, turns: [...upToQuestion(conversation.turns), { role: "assistant", ...turn }] };
}

function upToQuestion(turns: Turn[]): Turn[] {
  return turns.slice(0, turns.findLastIndex((turn) => turn.role === "user") + 1);
}

/** What local storage holds may be of another version, or edited by hand. */
export function soundConversations(found: unknown): Conversation[] {
  if (!Array.isArray(found)) return [];
  return found.filter(
    (each) =>
      typeof each?.id === "number" &&
      typeof each.system === "string" &&
      Array.isArray(each.turns) &&
      each.turns.every((turn: Turn) => typeof turn?.content === "string" && ["user", "assistant"].includes(turn.role)),
  );
}
