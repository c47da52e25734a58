/** A failure in words, with what can be done about it. */

import { useEffect, useState } from "preact/hooks";
import { type Failure, HEADINGS } from "../api/failure";

export function Alert({ failure, retry, label = "Retry" }: { failure: Failure | null; retry?: () => void; label?: string }) {
  if (!failure) return null;
  return (
    <div class="alert" role="alert">
      <p>
        <strong>{HEADINGS[failure.kind]}.</strong> {failure.message}
      </p>
      {failure.meantForCompletions && (
        <p>
          This model continues text. <a href="#/playground">Open it in the playground</a>.
        </p>
      )}
      {failure.retryAfter !== null && <Wait key={failure} seconds={failure.retryAfter} />}
      {retry && (
        <button type="button" onClick={retry}>
          {label}
        </button>
      )}
    </div>
  );
}

/** Counts down in sight only: a live region that changes every second would talk without end. */
function Wait({ seconds }: { seconds: number }) {
  const [left, setLeft] = useState(seconds);
  useEffect(() => {
    const timer = setInterval(() => setLeft((now) => Math.max(0, now - 1)), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <p>
      <span class="unseen">It asks to wait {seconds} seconds.</span>
      <span aria-hidden="true">{left > 0 ? `It asks to wait: ${left} s.` : "It can be asked again now."}</span>
    </p>
  );
}
