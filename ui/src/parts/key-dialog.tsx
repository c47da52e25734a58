/** Asks for the API key, above whatever page was asking. */

import { useEffect, useRef } from "preact/hooks";
import { keyQuestion } from "../api/key";

export function KeyDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const question = keyQuestion.value;
  useEffect(() => {
    if (question && !dialog.current?.open) dialog.current?.showModal();
    if (!question) dialog.current?.close();
  }, [question]);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem("key") as HTMLInputElement;
    const key = field.value.trim();
    field.value = "";
    if (key) question?.answer(key);
  };
  return (
    <dialog ref={dialog} aria-labelledby="key-heading" onClose={() => keyQuestion.value?.answer(null)}>
      <form onSubmit={submit}>
        <h2 id="key-heading">API key</h2>
        <p role="alert">{question?.reason}</p>
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
