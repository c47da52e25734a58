/** A thumb up or down for a text of the playground. */

import { useState } from "preact/hooks";
import { desk, saveThumb } from "../api/feedback";
import { asFailure, type Failure } from "../api/failure";
import { Alert } from "../parts/alert";
import { show } from "../parts/copying";

const NAMES = { 1: "Good", [-1]: "Bad" };

export function Thumbs({ prompt, answer, model }: { prompt: string; answer: string; model: string }) {
  const [given, setGiven] = useState(0);
  const [failed, setFailed] = useState<{ failure: Failure; thumb: number } | null>(null);
  if (!desk.value || !answer.trim() || !prompt.trim()) return null;
  const give = async (thumb: number) => {
    setFailed(null);
    try {
      await saveThumb({ prompt, answer, model, thumb });
      setGiven(thumb);
      show(thumb ? "Saved, thank you" : "Taken back");
    } catch (error) {
      setFailed({ failure: asFailure(error), thumb });
    }
  };
  return (
    <span class="thumbs" role="group" aria-label="What do you think of this text?">
      {([1, -1] as const).map((thumb) => (
        <button key={thumb} type="button" class="plain" aria-pressed={given === thumb} onClick={() => void give(given === thumb ? 0 : thumb)}>
          {NAMES[thumb]}
        </button>
      ))}
      {failed && <Alert failure={failed.failure} retry={() => void give(failed.thumb)} />}
    </span>
  );
}
