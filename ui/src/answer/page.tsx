/** Ask with sources: a question, its answer, and beside it the passages that bear it out. All of them are shown as text. */

import { useEffect, useRef } from "preact/hooks";
import type { Sentence, Source } from "../api/answers";
import { answerers, models } from "../api/models";
import { Alert } from "../parts/alert";
import { cutAt } from "./parts";
import { ask, asked, asking, canWrite, failure, type Mode, mode, NOT_FOUND, opened, question, setMode, stop } from "./state";

const MODES: Record<Mode, string> = { extractive: "Quote the corpus", generative: "Let the model write" };

export function Ask() {
  if (models.value && !answerers.value.length) {
    return <p class="note">No index is served here. Start the server with one: genus serve MODEL --index INDEX.</p>;
  }
  return (
    <>
      <div class="work">
        <Compose />
        <Alert failure={failure.value} retry={() => void ask()} />
        <Said />
      </div>
      <Sources />
    </>
  );
}

function Compose() {
  const submit = (event: Event) => {
    event.preventDefault();
    if (asking.value) stop();
    else void ask();
  };
  const enter = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!asking.value) void ask();
  };
  return (
    <form class="compose" onSubmit={submit}>
      <div class="over">
        <label for="asked">Ask with sources</label>
      </div>
      <textarea
        id="asked"
        rows={2}
        maxLength={2000}
        placeholder="Ask the corpus"
        value={question.value}
        onInput={(event) => (question.value = event.currentTarget.value)}
        onKeyDown={enter}
      />
      <div class="row">
        <button type="submit" class="main" disabled={!asking.value && !question.value.trim()}>{asking.value ? "Stop" : "Ask"}</button>
        <fieldset class="modes">
          <legend class="unseen">How to answer</legend>
          {(Object.keys(MODES) as Mode[]).map((each) => (
            <label key={each}>
              <input type="radio" name="mode" checked={mode.value === each} disabled={each === "generative" && !canWrite.value} onChange={() => setMode(each)} />
              <span>{MODES[each]}</span>
            </label>
          ))}
        </fieldset>
      </div>
    </form>
  );
}

function Said() {
  const state = asked.value;
  if (!state) return <p class="quiet">Every sentence of the answer is checked against a passage, or marked unsupported.</p>;
  const busy = asking.value !== null;
  return (
    <section class="said-answer" aria-labelledby="answer-heading" aria-busy={busy}>
      <h2 id="answer-heading">Answer</h2>
      <p class="quiet">{state.question}</p>
      {state.abstained && <p class="note">{NOT_FOUND}{state.sources.length > 0 && " The nearest passages are listed as sources."}</p>}
      <ol class="sentences">
        {state.sentences.map((sentence, place) => <SentenceView key={place} sentence={sentence} place={place} />)}
      </ol>
      {busy && <p class="quiet">{state.sources.length ? "Writing and checking…" : "Searching…"}<span class="caret" /></p>}
      {!busy && state.abstained === null && !failure.value && <p class="quiet">Stopped.</p>}
    </section>
  );
}

function SentenceView({ sentence, place }: { sentence: Sentence; place: number }) {
  const { passage, status } = sentence;
  return (
    <li class={`sentence ${status}`}>
      <span class="text">{status === "quoted" ? `“${sentence.text}”` : sentence.text}</span>{" "}
      {passage && (
        <button
          type="button"
          id={`sentence-${place}`}
          class="plain cite"
          aria-label={`Source ${passage.number}`}
          aria-expanded={opened.value === place}
          aria-controls={`source-${passage.number}`}
          onClick={() => (opened.value = place)}
        >
          [{passage.number}]
        </button>
      )}
      {status === "partial" && <span class="badge">partly supported</span>}
      {status === "unsupported" && <span class="badge trouble">unsupported</span>}
    </li>
  );
}

function Sources() {
  const state = asked.value;
  const sentence = opened.value === null ? null : (state?.sentences[opened.value] ?? null);
  return (
    <section class="sources" aria-labelledby="sources-heading">
      <h2 id="sources-heading">Sources</h2>
      {!state?.sources.length && <p class="quiet">The passages that were looked at come here.</p>}
      <ol>
        {state?.sources.map((source) => (
          <SourceView key={source.number} source={source} sentence={sentence?.passage?.number === source.number ? sentence : null} />
        ))}
      </ol>
    </section>
  );
}

/** Open, with the part that bears the sentence out marked, once its number was chosen. */
function SourceView({ source, sentence }: { source: Source; sentence: Sentence | null }) {
  const item = useRef<HTMLLIElement>(null);
  const place = opened.value;
  useEffect(() => {
    if (!sentence) return;
    item.current?.focus({ preventScroll: true });
    item.current?.scrollIntoView({ block: "nearest" });
  }, [sentence]);
  const back = () => {
    opened.value = null;
    document.getElementById(`sentence-${place}`)?.focus();
  };
  const [before, quoted, after] = cutAt(source, sentence?.quote ?? null);
  return (
    <li ref={item} id={`source-${source.number}`} class={sentence ? "source held" : "source"} tabIndex={-1} aria-label={`Source ${source.number}`}
      onKeyDown={(event) => sentence && event.key === "Escape" && back()}>
      <p class="over">
        <strong>[{source.number}] {source.title || source.document}</strong>
        {sentence && <button type="button" class="plain" onClick={back}>Back to the answer</button>}
      </p>
      <p class="quiet figures">
        {[source.document, source.date, `characters ${source.start.toLocaleString("en")} to ${source.end.toLocaleString("en")}`, source.url]
          .filter(Boolean).join(" · ")}
      </p>
      <blockquote class={sentence ? "passage" : "passage closed"}>
        {before}
        {quoted && <mark>{quoted}</mark>}
        {after}
      </blockquote>
      {sentence && <p class="quiet hash">sha256 {source.sha256}</p>}
    </li>
  );
}
