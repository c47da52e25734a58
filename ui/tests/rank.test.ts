import { beforeEach, describe, expect, it, vi } from "vitest";
import { type Key, meaningOf } from "../src/rank/keys";
import { canBeCompared } from "../src/rank/prefer";
import { draftOf, emptyDraft, groupsOf, moveRank, nextIn, nextUnranked, saidOf, setFlag, setOverall, setRank, spokenRanking } from "../src/rank/ranking";

const key = (name: string, more: Partial<Key> = {}): Key => ({ key: name, code: "", shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, ...more });

describe("a ranking", () => {
  it("is groups without gaps, ties together", () => {
    expect(groupsOf([3, 1, null, 3, 7])).toEqual([[1], [0, 3], [4]]);
    expect(groupsOf([null, null])).toEqual([]);
    expect(spokenRanking([3, 1, 3])).toBe("B, then A and C");
  });

  it("comes back from the server as it was sent", () => {
    let draft = setRank(setRank(emptyDraft(3), 2, 1), 0, 3);
    draft = setFlag(setFlag(setOverall(draft, 1, 7), 1, "opinion", true), 1, "violent", true);
    draft = setFlag(draft, 1, "opinion", false);
    const record = { ...saidOf({ ...draft, comment: "hm" }, 3, false), state: "begun" as const };
    expect(record.ranking).toEqual([[2], [], [0]]);
    expect(saidOf(draft, 3, true).ranking).toEqual([[2], [0]]);
    const back = draftOf({ id: 1, prompt: "p", answers: ["a", "b", "c"], record });
    expect(back).toEqual({ ranks: [3, null, 1], overall: [null, 7, null], flags: [[], ["violent"], []], comment: "hm" });
  });

  it("moves step by step and stays within its ends", () => {
    const draft = setRank(emptyDraft(3), 0, 2);
    expect(moveRank(draft, 0, -1).ranks).toEqual([1, null, null]);
    expect(moveRank(moveRank(draft, 0, 1), 0, 1).ranks).toEqual([3, null, null]);
    expect(moveRank(draft, 1, 1).ranks).toEqual([2, 1, null]);
    expect(moveRank(draft, 1, -1).ranks).toEqual([2, 3, null]);
  });

  it("goes to the next answer that has no rank, around the end", () => {
    expect(nextUnranked({ ...emptyDraft(3), ranks: [null, 1, 1] }, 1)).toBe(0);
    expect(nextUnranked({ ...emptyDraft(2), ranks: [1, 2] }, 0)).toBeNull();
  });

  it("goes to the next task of a state, around the end and never to itself", () => {
    const tasks = [[4, "done"], [7, "open"], [2, "skipped"]] as [number, "done" | "open" | "skipped"][];
    expect(nextIn(tasks, 2, ["open"])).toBe(7);
    expect(nextIn(tasks, 7, ["open"])).toBeNull();
    expect(nextIn(tasks, null, ["skipped"])).toBe(2);
  });
});

describe("keys", () => {
  it.each([
    ["3", { do: "rank", rank: 3 }],
    ["0", { do: "rank", rank: null }],
    ["ArrowUp", { do: "move", by: -1 }],
    ["ArrowRight", { do: "answer", by: 1 }],
    ["Enter", { do: "submit" }],
    ["s", { do: "skip" }],
    ["x", null],
    ["9", null],
    ["constructor", null],
  ])("%s on an answer", (name, action) => expect(meaningOf(key(name), "answer", 4)).toEqual(action));

  it("knows Shift and a digit by its place, whatever sign the keyboard makes of it", () => {
    expect(meaningOf(key("/", { code: "Digit7", shiftKey: true }), "answer", 4)).toEqual({ do: "overall", value: 7 });
    expect(meaningOf(key("(", { code: "Digit8", shiftKey: true }), "answer", 9)).toBeNull();
  });

  it("leaves texts, buttons and choices what is theirs", () => {
    expect(meaningOf(key("3"), "text", 4)).toBeNull();
    expect(meaningOf(key("s"), "text", 4)).toBeNull();
    expect(meaningOf(key("Enter"), "button", 4)).toBeNull();
    expect(meaningOf(key("ArrowUp"), "choice", 4)).toBeNull();
    expect(meaningOf(key("r", { ctrlKey: true }), "answer", 4)).toBeNull();
    expect(meaningOf(key("Escape"), "text", 4)).toEqual({ do: "leave" });
    expect(meaningOf(key("Enter", { ctrlKey: true }), "text", 4)).toEqual({ do: "submit" });
  });
});

describe("saving", () => {
  const answers: Record<string, () => Response> = {};
  const sent: { path: string; body: Record<string, unknown> }[] = [];
  let state: typeof import("../src/rank/state");

  beforeEach(async () => {
    vi.resetModules();
    localStorage.clear();
    sent.length = 0;
    const json = (body: unknown, status = 200) => () => new Response(JSON.stringify(body), { status });
    answers["genus/feedback"] = json({ open: true, labeller: "anna", tasks: [[1, "open"], [2, "open"]], demonstrations: 0, guideline: null, flags: {} });
    for (const id of [1, 2]) answers[`genus/feedback/tasks/${id}`] = json({ id, prompt: "p", answers: ["a", "b"], record: null });
    answers["genus/feedback/agreement"] = json({ agreement: null });
    answers.post = json({ saved: 1 });
    vi.stubGlobal("fetch", async (url: URL, init: RequestInit) => {
      const path = url.pathname.slice(1);
      if (init.method !== "POST") return answers[path]();
      sent.push({ path, body: JSON.parse(String(init.body)) });
      return answers.post();
    });
    state = await import("../src/rank/state");
    await state.start();
  });

  const both = () => {
    state.change(setRank(state.draft.value, 0, 2));
    state.change(setRank(state.draft.value, 1, 1));
  };

  it("sends every click in order, under the labeller's name, then what is submitted, and goes on", async () => {
    expect(state.task.value?.id).toBe(1);
    both();
    await state.submit();
    expect(sent.map(({ path }) => path)).toEqual(Array(3).fill("genus/feedback/tasks/1"));
    expect(sent.map(({ body }) => body.ranking)).toEqual([[[], [0]], [[1], [0]], [[1], [0]]]);
    expect(sent.map(({ body }) => [body.submit, body.labeller])).toEqual([[false, "anna"], [false, "anna"], [true, "anna"]]);
    expect(state.task.value?.id).toBe(2);
    expect(state.saving.value).toBe("saved");
  });

  it("submits once, however often Enter is pressed", async () => {
    both();
    const first = state.submit();
    both();
    await Promise.all([first, state.submit(), state.skip()]);
    expect(sent.filter(({ body }) => body.submit || body.skip)).toHaveLength(1);
    expect(sent.map(({ path }) => path)).toEqual(Array(3).fill("genus/feedback/tasks/1"));
  });

  it("does not submit before every answer has a rank", async () => {
    state.change(setRank(state.draft.value, 0, 1));
    await state.submit();
    expect(sent.every(({ body }) => body.submit === false)).toBe(true);
    expect(state.task.value?.id).toBe(1);
  });

  it("says what was not saved, keeps it over a reload, and sends the last word again", async () => {
    answers.post = () => new Response(JSON.stringify({ error: { message: "in use" } }), { status: 503 });
    both();
    await state.flush();
    await state.flush();
    expect(state.saveFailure.value?.message).toBe("in use");
    await state.submit();
    expect(state.task.value?.id).toBe(1);
    vi.resetModules();
    answers.post = () => new Response('{"saved":1}');
    sent.length = 0;
    await new Promise((done) => setTimeout(done)); // what is kept is written by an effect
    const later = await import("../src/rank/state");
    await later.start();
    expect(sent.map(({ body }) => [body.ranking, body.submit])).toEqual([[[[1], [0]], true]]);
    expect(later.saveFailure.value).toBeNull();
  });

  it("takes a task that was submitted elsewhere as done", async () => {
    answers.post = () => new Response(JSON.stringify({ error: { message: "it stands" } }), { status: 409 });
    state.change(setRank(state.draft.value, 0, 1));
    await state.flush();
    await vi.waitFor(() => expect(state.isDone.value).toBe(true));
    expect(state.saveFailure.value?.message).toBe("it stands");
    answers.post = () => new Response('{"saved":1}');
    sent.length = 0;
    both();
    await state.flush();
    expect(sent).toEqual([]);
  });

  it("puts words into nobody else's mouth", async () => {
    answers.post = () => new Response("", { status: 500 });
    both();
    await state.flush();
    await new Promise((done) => setTimeout(done));
    vi.resetModules();
    const desk = JSON.parse(await answers["genus/feedback"]().text());
    answers["genus/feedback"] = () => new Response(JSON.stringify({ ...desk, labeller: "ben" }));
    sent.length = 0;
    const later = await import("../src/rank/state");
    await later.start();
    expect(sent).toEqual([]);
    expect(later.draft.value.ranks).toEqual([null, null]);
  });
});

it("texts can be compared when they are two, differ, and answer one prompt", () => {
  const text = (text: string, prompt = "p") => ({ prompt, text, model: "m" });
  expect(canBeCompared([text("a"), text("b")])).toBe(true);
  expect(canBeCompared([text("a")])).toBe(false);
  expect(canBeCompared([text("a"), text("a")])).toBe(false);
  expect(canBeCompared([text("a"), text(" ")])).toBe(false);
  expect(canBeCompared([text("a"), text("b", "q")])).toBe(false);
});
