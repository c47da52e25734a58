import { describe, expect, it } from "vitest";
import { answer, ask, type Conversation, edit, messagesOf, soundConversations, titleOf } from "../src/chat/conversation";

const empty: Conversation = { id: 1, system: " ", turns: [] };

describe("a conversation", () => {
  it("sends the system prompt only if it says something", () => {
    expect(messagesOf(ask(empty, "q"))).toEqual([{ role: "user", content: "q" }]);
    expect(messagesOf({ ...ask(empty, "q"), system: "be brief" })[0]).toEqual({ role: "system", content: "be brief" });
  });

  it("puts one answer in place of another, and sends none of them again", () => {
    const once = answer(ask(empty, "q"), { content: "a" });
    const twice = answer(once, { content: "b", cut: "stopped" });
    expect(twice.turns.map((turn) => turn.content)).toEqual(["q", "b"]);
    expect(messagesOf(twice).map((message) => message.content)).toEqual(["q"]);
  });

  it("forgets what followed a question that is put in other words", () => {
    const long = answer(ask(answer(ask(empty, "q"), { content: "a" }), "r"), { content: "b" });
    expect(edit(long, 0, "s").turns.map((turn) => turn.content)).toEqual(["s"]);
    expect(edit(long, 2, "s").turns.map((turn) => turn.content)).toEqual(["q", "a", "s"]);
  });

  it("is called by its first words", () => {
    expect(titleOf(empty)).toBe("New conversation");
    expect(titleOf(ask(empty, "a\nb"))).toBe("a b");
    expect(titleOf(ask(empty, "x".repeat(99)))).toHaveLength(48);
  });

  it("is left out where the store holds something else", () => {
    expect(soundConversations([empty, null, { id: "1" }, { id: 2, system: "", turns: [{ role: "tool", content: "" }] }])).toEqual([empty]);
    expect(soundConversations({})).toEqual([]);
  });
});
