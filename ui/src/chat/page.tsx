/** The chat: conversations, their turns, and the question that is being written. */

import { useEffect, useRef } from "preact/hooks";
import { models, modelFacts, model } from "../api/models";
import { Alert } from "../parts/alert";
import { Dials, ResetButton, SeedField, StopField } from "../parts/dials";
import { titleOf } from "./conversation";
import { again, arriving, conversations, current, draft, failure, forget, open, send, setSystem, settings, stop, writing } from "./state";
import { Turns } from "./turns";

const EXAMPLES = [
  "Explain in two sentences why the sky is blue.",
  "What is the derivative of $x^2 \\sin x$? Answer in LaTeX.",
  "Write a haiku about the sea.",
];

export function Chat() {
  return (
    <>
      <Conversations />
      <div class="talk">
        {models.value && modelFacts.value.chat === false && (
          <p class="note">
            {model.value} is not made for chat: it continues text and may not answer as you expect.{" "}
            <a href="#/playground">The playground</a> fits it better.
          </p>
        )}
        <Turns />
        <Alert failure={failure.value} retry={current.value.turns.length ? again : undefined} />
        <Compose />
      </div>
      <Options />
    </>
  );
}

function Conversations() {
  return (
    <section class="conversations" aria-labelledby="conversations-heading">
      <div class="over">
        <h2 id="conversations-heading">Conversations</h2>
        <button type="button" class="plain" onClick={() => open(0)}>New</button>
      </div>
      {conversations.value.length === 0 && <p class="quiet">They stay in this browser.</p>}
      <ul>
        {conversations.value.map((each) => (
          <li key={each.id} class="line">
            <button type="button" class="plain" aria-current={each.id === current.value.id ? "true" : undefined} onClick={() => open(each.id)}>
              {titleOf(each)}
            </button>
            <button type="button" class="plain remove" aria-label={`Delete ${titleOf(each)}`} onClick={() => forget(each.id)}>×</button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Compose() {
  const box = useRef<HTMLTextAreaElement>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    if (writing.value) stop();
    else send();
  };
  const enter = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    // Who types ahead does not mean to stop the answer.
    if (!writing.value) send();
  };
  const fresh = current.value.turns.length === 0;
  useEffect(() => {
    if (!writing.value && !failure.value && matchMedia("(pointer: fine)").matches) box.current?.focus();
  }, [current.value.id]);
  return (
    <form class="compose" onSubmit={submit}>
      <label class="unseen" for="question">Message</label>
      <textarea
        id="question"
        ref={box}
        rows={3}
        placeholder="Ask something"
        value={draft.value}
        onInput={(event) => (draft.value = event.currentTarget.value)}
        onKeyDown={enter}
      />
      <div class="row">
        <button type="submit" class="main" disabled={!writing.value && (!draft.value.trim() || !model.value)}>
          {writing.value ? "Stop" : "Send"}
        </button>
        <button type="button" disabled={fresh || writing.value !== null} onClick={again}>Regenerate</button>
        {fresh && arriving.value === null && EXAMPLES.map((example) => (
          <button key={example} type="button" class="plain example" onClick={() => (draft.value = example)}>{example}</button>
        ))}
      </div>
    </form>
  );
}

function Options() {
  return (
    <section class="settings" aria-labelledby="options-heading">
      <div class="over">
        <h2 id="options-heading">Settings</h2>
        <ResetButton settings={settings} />
      </div>
      <label class="field">
        <span>System prompt</span>
        <textarea rows={4} value={current.value.system} onChange={(event) => setSystem(event.currentTarget.value)} />
      </label>
      <Dials settings={settings} />
      <SeedField settings={settings} />
      <StopField settings={settings} />
    </section>
  );
}
