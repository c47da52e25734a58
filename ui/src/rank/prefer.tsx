/** Which of the compared texts is better: a ranking of two, or of as many as there are columns. */

import { useState } from "preact/hooks";
import { desk, savePreference } from "../api/feedback";
import { asFailure, type Failure } from "../api/failure";
import { Alert } from "../parts/alert";

export interface Compared {
  prompt: string;
  text: string;
  model: string;
}

/** Shown when the texts are whole, differ, and answer one prompt. */
export function Prefer({ compared }: { compared: Compared[] }) {
  const [said, setSaid] = useState("");
  const [failed, setFailed] = useState<{ failure: Failure; preferred: number | null } | null>(null);
  if (!desk.value || !canBeCompared(compared)) return null;
  const prefer = async (preferred: number | null) => {
    setFailed(null);
    setSaid("Saving…");
    try {
      await savePreference({
        prompt: compared[0].prompt,
        answers: compared.map((each) => each.text),
        models: compared.map((each) => each.model),
        preferred,
      });
      setSaid(preferred === null ? "Saved: they are alike." : `Saved: column ${preferred + 1} is preferred.`);
    } catch (error) {
      setSaid("");
      setFailed({ failure: asFailure(error), preferred });
    }
  };
  const chosen = said.startsWith("Saved") || said === "Saving…";
  return (
    <section class="prefer" aria-labelledby="prefer-heading">
      <div class="row">
        <h2 id="prefer-heading">Which is better?</h2>
        {compared.map((_, column) => (
          <button key={column} type="button" disabled={chosen} onClick={() => void prefer(column)}>Column {column + 1}</button>
        ))}
        <button type="button" disabled={chosen} onClick={() => void prefer(null)}>They are alike</button>
        <span class="quiet" role="status">{said}</span>
      </div>
      <Alert failure={failed?.failure ?? null} retry={() => void prefer(failed!.preferred)} />
    </section>
  );
}

export function canBeCompared(compared: Compared[]): boolean {
  const texts = compared.map((each) => each.text);
  const prompts = new Set(compared.map((each) => each.prompt));
  return texts.length > 1 && texts.every((text) => text.trim()) && new Set(texts).size === texts.length && prompts.size === 1 && [...prompts][0].trim() !== "";
}
