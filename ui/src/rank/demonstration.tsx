/** Where labellers write answers of their own, from which fine-tuning learns. */

import { signal } from "@preact/signals";
import { desk, saveDemonstration } from "../api/feedback";
import { asFailure, type Failure } from "../api/failure";
import { Alert } from "../parts/alert";
import { kept } from "../parts/kept";
import { task } from "./state";

const written = kept("rank.demonstration", { prompt: "", answer: "" });
const failure = signal<Failure | null>(null);
const status = signal<"" | "Saving…" | "Saved.">("");

/** Until it is saved the text stays, in this browser too. */
async function save(): Promise<void> {
  status.value = "Saving…";
  failure.value = null;
  const { prompt, answer } = written.value;
  try {
    const demonstrations = await saveDemonstration({ prompt, answer, guideline: desk.value?.guideline?.digest });
    if (desk.value) desk.value = { ...desk.value, demonstrations };
    written.value = { prompt: "", answer: "" };
    status.value = "Saved.";
  } catch (error) {
    status.value = "";
    failure.value = asFailure(error);
  }
}

export function Demonstration() {
  const { prompt, answer } = written.value;
  const set = (part: Partial<typeof written.value>) => {
    written.value = { ...written.value, ...part };
    status.value = "";
  };
  const submit = (event: Event) => {
    event.preventDefault();
    if (prompt.trim() && answer.trim()) void save();
  };
  const count = desk.value?.demonstrations ?? 0;
  const mine = task.value?.prompt;
  return (
    <section aria-labelledby="demonstration-heading">
      <details class="demonstration">
        <summary><h2 id="demonstration-heading">Write an answer of your own</h2> <span class="quiet">{count} written</span></summary>
        <form onSubmit={submit}>
          <label class="field">
            <span>Prompt</span>
            <textarea rows={3} value={prompt} onInput={(event) => set({ prompt: event.currentTarget.value })} />
          </label>
          <label class="field">
            <span>Your answer</span>
            <textarea rows={6} value={answer} onInput={(event) => set({ answer: event.currentTarget.value })} />
          </label>
          <div class="row">
            <button type="submit" disabled={!prompt.trim() || !answer.trim() || status.value === "Saving…"}>Save this answer</button>
            {typeof mine === "string" && <button type="button" onClick={() => set({ prompt: mine })}>Take this task's prompt</button>}
            <span class="quiet" role="status">{status.value}</span>
          </div>
          <Alert failure={failure.value} retry={() => void save()} />
        </form>
      </details>
    </section>
  );
}
