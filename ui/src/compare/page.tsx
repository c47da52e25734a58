/** Two to four texts from one prompt and seed, side by side, and what the models think of the first. */

import { useMemo } from "preact/hooks";
import { models, model } from "../api/models";
import { spell, spoken } from "../api/spelling";
import { Alert } from "../parts/alert";
import { probabilityClass } from "../parts/colour";
import { Dials, StopField } from "../parts/dials";
import { percent } from "../parts/figures";
import { TokenText } from "../parts/token-text";
import { mean } from "./difference";
import { type Compared, Prefer } from "../rank/prefer";
import { Readings } from "./readings";
import { addColumn, LEAST, MOST, modelOf, prompt, redrawSeed, removeColumn, retry, run, seed, setSetup, settingsOf, setups, stop, writing, written, type Written } from "./state";

export function Compare() {
  return (
    <>
      <Compose />
      <div class={`columns of-${setups.value.length}`}>
        {setups.value.map((_, column) => <Column key={column} column={column} />)}
      </div>
      <Preference />
      <Readings />
    </>
  );
}

/** Once every column has written its text to the end. */
function Preference() {
  const all = written.value;
  if (all.some((state) => !state || state.running || state.failure)) return null;
  const compared = all.map((state): Compared => ({
    prompt: state!.prompt,
    text: spell(state!.tokens.map((token) => token.name)).join(""),
    model: state!.model,
  }));
  return <Prefer key={JSON.stringify(compared)} compared={compared} />;
}

function Compose() {
  const submit = (event: Event) => {
    event.preventDefault();
    if (writing.value) stop();
    else void run();
  };
  return (
    <form class="compose" onSubmit={submit}>
      <div class="over">
        <label for="shared-prompt">Prompt of all columns</label>
      </div>
      <textarea
        id="shared-prompt"
        rows={3}
        value={prompt.value}
        onInput={(event) => (prompt.value = event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit(event)}
      />
      <div class="row">
        <button type="submit" class="main" disabled={!model.value}>{writing.value ? "Stop" : "Generate"}</button>
        <label class="seed">
          <span>Seed</span>
          <input type="number" step="1" value={seed.value} onChange={takeSeed} />
        </label>
        <button type="button" onClick={redrawSeed}>New seed</button>
        <span class="gap" />
        <button type="button" disabled={setups.value.length >= MOST} onClick={addColumn}>Add a column</button>
      </div>
    </form>
  );
}

function takeSeed(event: Event): void {
  const typed = (event.currentTarget as HTMLInputElement).valueAsNumber;
  if (Number.isSafeInteger(typed)) seed.value = typed;
}

function Column({ column }: { column: number }) {
  const setup = setups.value[column];
  const settings = useMemo(() => settingsOf(column), [column]);
  const name = `Column ${column + 1}`;
  const state = written.value[column];
  return (
    <section aria-labelledby={`column-${column}`}>
      <div class="over">
        <h2 id={`column-${column}`}>{name}</h2>
        {setups.value.length > LEAST && (
          <button type="button" class="plain remove" aria-label={`Remove column ${column + 1}`} onClick={() => removeColumn(column)}>×</button>
        )}
      </div>
      <label class="field">
        <span>Model</span>
        <select value={modelOf(setup)} onChange={(event) => setSetup(column, { model: event.currentTarget.value })}>
          {models.value?.map((each) => <option key={each.id} value={each.id}>{each.id}</option>)}
        </select>
      </label>
      <details>
        <summary>{settingsLine(column)}</summary>
        <Dials settings={settings} />
        <StopField settings={settings} />
      </details>
      {state && <Text state={state} name={name} />}
      <Alert failure={state?.failure ?? null} retry={() => void retry(column)} />
    </section>
  );
}

function settingsLine(column: number): string {
  const { temperature, topP, topK, minP, maxTokens } = setups.value[column].settings;
  const told = [`temperature ${temperature}`, topP < 1 && `top-p ${topP}`, topK > 0 && `top-k ${topK}`, minP > 0 && `min-p ${minP}`];
  return [...told.filter(Boolean), `${maxTokens} tokens`].join(" · ");
}

function Text({ state, name }: { state: Written; name: string }) {
  const texts = spell(state.tokens.map((token) => token.name));
  const shown = state.tokens.map((token, place) => ({
    text: texts[place],
    colour: probabilityClass(token.logprob),
    label: labelOf(token.name, token.logprob),
  }));
  const average = mean(state.tokens.map((token) => token.logprob));
  return (
    <>
      <TokenText tokens={shown} label={`Tokens of ${name.toLowerCase()}`} />
      <p class="summary figures">
        {state.tokens.length} tokens
        {average !== null && ` · mean log-probability ${average.toFixed(3)} · perplexity ${Math.exp(-average).toFixed(2)}`}
        {state.running && <span class="caret" />}
      </p>
    </>
  );
}

function labelOf(name: string, logprob: number | null): string {
  return logprob === null ? spoken(name) : `${spoken(name)}: log-probability ${logprob.toFixed(3)}, ${percent(Math.exp(logprob))}`;
}
