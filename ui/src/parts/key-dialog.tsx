/** Asks for the API key, above whatever page was asking. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { type KeyQuestion, keyQuestion } from "../api/key";

export function KeyDialog() {
  const question = keyQuestion.value;
  return question && <Asking key={question} question={question} />;
}

/** A dialog for each question: what is typed, or the event of closing the last, cannot answer the next. */
function Asking({ question }: { question: KeyQuestion }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const shown = dialog.current!;
    shown.showModal();
    return () => shown.close();
  }, []);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem("key") as HTMLInputElement;
    const key = field.value.trim();
    field.value = "";
    if (key) question.answer(key);
  };
  return (
    <dialog ref={dialog} aria-labelledby="key-heading" onClose={() => question.answer(null)}>
      <form onSubmit={submit}>
        <h2 id="key-heading">API key</h2>
        <p role="alert">{question.reason}</p>
        <label class="field">
          <span>Key</span>
          <input name="key" type="password" autocomplete="off" spellcheck={false} required />
        </label>
        <p class="quiet">It is kept for this tab only. The address that the server printed when it started has it, after #key=.</p>
        <div class="row">
          <button type="submit" class="main">Use this key</button>
          <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
        </div>
      </form>
    </dialog>
  );
}
