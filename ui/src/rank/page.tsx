/** The labellers' page: a prompt, answers without their authors side by side, and what is said of them. */

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { desk, type Prompt } from "../api/feedback";
import { Markdown } from "../markdown/view";
import { Alert } from "../parts/alert";
import { percent } from "../parts/figures";
import { announce } from "../parts/narrator";
import { Board } from "./board";
import { Card } from "./card";
import { Demonstration } from "./demonstration";
import { type Action, meaningOf, type Spot } from "./keys";
import { isComplete, letter, moveRank, nextIn, nextUnranked, setOverall, setRank, spokenRanking } from "./ranking";
import { agreed, change, comment, commentNow, draft, flush, hasUnsaved, isDone, loadFailure, open, placeOf, saveFailure, saving, skip, start, step, submit, task } from "./state";

export function Rank() {
  useEffect(() => {
    void start();
    addEventListener("pagehide", commentNow);
    return () => {
      removeEventListener("pagehide", commentNow);
      commentNow();
    };
  }, []);
  return (
    <>
      <Alert failure={loadFailure.value} retry={() => void start()} />
      {desk.value ? <Desk /> : !loadFailure.value && <NoDesk />}
    </>
  );
}

function NoDesk() {
  return <p class="quiet">This server keeps no feedback. Start one with <code>genus rank</code>, or <code>genus serve --feedback feedback.db</code>.</p>;
}

function Desk() {
  return (
    <>
      <Progress />
      {desk.value!.guideline && <Guideline />}
      {task.value ? <TaskView key={task.value.id} /> : desk.value!.tasks.length === 0 && <p class="quiet">No task is here to rank yet.</p>}
      <Demonstration />
    </>
  );
}

function Progress() {
  const { tasks, labeller } = desk.value!;
  const count = (state: string) => tasks.filter(([, each]) => each === state).length;
  const [done, skipped] = [count("done"), count("skipped")];
  const left = nextIn(tasks, null, ["open", "begun"]);
  const over = tasks.length > 0 && left === null;
  const again = over ? nextIn(tasks, null, ["skipped"]) : null;
  return (
    <section class="progress" aria-label="Progress">
      <div class="over">
        <p class="figures">
          <strong>{done} of {tasks.length} done</strong>
          {skipped > 0 && ` · ${skipped} skipped`} · as {labeller}
        </p>
        <Saved />
      </div>
      <progress aria-label="Tasks done" max={Math.max(1, tasks.length)} value={done} />
      {agreed.value && (
        <p class="quiet figures">
          Labellers agree on {percent(agreed.value.share)} of {agreed.value.pairs} pairs in {agreed.value.tasks} shared tasks (95% interval{" "}
          {percent(agreed.value.low)} to {percent(agreed.value.high)}).
        </p>
      )}
      {over && (
        <p class="note">
          No task is left open. Thank you.{" "}
          {again !== null && <button type="button" class="plain" onClick={() => void open(again)}>Go to the skipped ones</button>}
        </p>
      )}
      <Alert failure={saveFailure.value} retry={hasUnsaved.value ? () => void flush() : undefined} />
    </section>
  );
}

function Saved() {
  const words = { "": "", saving: "Saving…", saved: "Saved." };
  return <p class="quiet" role="status">{saveFailure.value ? "Not saved." : words[saving.value]}</p>;
}

function Guideline() {
  const { digest, text } = desk.value!.guideline!;
  return (
    <section class="guideline" aria-labelledby="guideline-heading">
      <details open>
        <summary><h2 id="guideline-heading">Guideline</h2> <span class="quiet">version {digest.slice(0, 8)}</span></summary>
        <Markdown text={text} />
      </details>
    </section>
  );
}

function TaskView() {
  const box = useRef<HTMLDivElement>(null);
  const { id, answers } = task.value!;
  const focus = (place: number) => box.current?.querySelector<HTMLElement>(`article[data-answer="${place}"]`)?.focus();
  // Before the task is seen: who goes on by keyboard is at its first answer at once, and no key is lost.
  useLayoutEffect(() => {
    if (document.activeElement === document.body || !document.activeElement?.closest(".demonstration, header")) focus(0);
  }, []);
  const handle = (event: KeyboardEvent) => {
    const action = meaningOf(event, spotOf(event.target as HTMLElement), answers.length);
    if (!action) return;
    event.preventDefault();
    act(action, event.target as HTMLElement, box.current!, focus);
  };
  return (
    <div class="task" ref={box} onKeyDown={handle}>
      <section aria-labelledby="task-heading">
        <div class="over">
          <h2 id="task-heading">Task {placeOf(id) + 1} of {desk.value!.tasks.length}</h2>
          <div class="row">
            <button type="button" class="plain" disabled={placeOf(id) === 0} onClick={() => step(-1)}>Previous</button>
            <button type="button" class="plain" disabled={placeOf(id) === desk.value!.tasks.length - 1} onClick={() => step(1)}>Next</button>
          </div>
        </div>
        <PromptView prompt={task.value!.prompt} />
      </section>
      <fieldset class="judged" disabled={isDone.value} aria-label="Answers and their ranking">
        <Board focus={focus} />
        <div class="answers">{answers.map((_, place) => <Card key={place} place={place} />)}</div>
        <Finish />
      </fieldset>
    </div>
  );
}

function PromptView({ prompt }: { prompt: Prompt }) {
  if (typeof prompt === "string") return <p class="text">{prompt}</p>;
  return (
    <ol class="asked">
      {prompt.map((message, place) => (
        <li key={place}>
          <span class="quiet">{message.role}</span>
          <p class="text">{message.content}</p>
        </li>
      ))}
    </ol>
  );
}

function Finish() {
  return (
    <section class="finish" aria-label="Finish">
      <label class="field">
        <span>Comment</span>
        <textarea rows={2} maxLength={10000} value={draft.value.comment} onInput={(event) => comment(event.currentTarget.value)} onBlur={commentNow} />
      </label>
      <div class="row">
        <button type="button" class="main" disabled={!isComplete(draft.value)} onClick={() => void submit()}>Submit</button>
        <button type="button" onClick={() => void skip()}>Skip</button>
        <span class="quiet">{isDone.value ? "Submitted: it stands." : spokenRanking(draft.value.ranks)}</span>
      </div>
      <p class="quiet keys">
        Keys on an answer: <kbd>1</kbd>–<kbd>{draft.value.ranks.length}</kbd> its rank, equal ranks tie, <kbd>0</kbd> none; <kbd>↑</kbd>{" "}
        <kbd>↓</kbd> better or worse; <kbd>←</kbd> <kbd>→</kbd> other answers; <kbd>Shift</kbd> <kbd>1</kbd>–<kbd>7</kbd> overall; <kbd>F</kbd>{" "}
        flags; <kbd>C</kbd> comment; <kbd>Esc</kbd> back; <kbd>S</kbd> skip; <kbd>P</kbd> <kbd>N</kbd> other tasks; <kbd>Enter</kbd> submit.
      </p>
    </section>
  );
}

function spotOf(target: HTMLElement): Spot {
  if (target.matches("textarea")) return "text";
  if (target.matches("input")) return "choice";
  return target.closest("button:not(.chip), summary") ? "button" : "answer";
}

/** Do what a key meant, for the answer that has the focus. */
function act(action: Action, target: HTMLElement, box: HTMLElement, focus: (place: number) => void): void {
  const place = Number(target.closest<HTMLElement>("[data-answer]")?.dataset.answer ?? 0);
  const count = draft.value.ranks.length;
  const card = box.querySelector<HTMLElement>(`article[data-answer="${place}"]`);
  switch (action.do) {
    case "rank":
      return rank(place, action.rank, focus);
    case "move":
      change(moveRank(draft.value, place, action.by));
      return announce(`${letter(place)}: rank ${draft.value.ranks[place]}.`);
    case "answer":
      return focus((place + action.by + count) % count);
    case "overall":
      change(setOverall(draft.value, place, action.value));
      return announce(`${letter(place)}: overall ${action.value}.`);
    case "flags":
      card?.querySelector("details")?.setAttribute("open", "");
      return card?.querySelector<HTMLElement>("details input")?.focus();
    case "comment":
      return box.querySelector<HTMLElement>("textarea")?.focus();
    case "leave":
      return focus(place);
    case "task":
      return void step(action.by);
    case "skip":
      return void skip();
    case "submit":
      return void submit();
  }
}

/** And on to the next answer that has none yet: a ranking of K answers is K digits. */
function rank(place: number, value: number | null, focus: (place: number) => void): void {
  if (isDone.value) return;
  const fresh = draft.value.ranks[place] === null;
  change(setRank(draft.value, place, value));
  const next = value !== null && fresh ? nextUnranked(draft.value, place) : null;
  announce(`${letter(place)}: ${value === null ? "no rank" : `rank ${value}`}.${next === null && isComplete(draft.value) ? " All are ranked." : ""}`);
  focus(next ?? place);
}
