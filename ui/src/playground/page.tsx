/** The playground: a prompt, what a model makes of it, and what else it could have written at each place. */

import { useEffect } from "preact/hooks";
import { model } from "../api/models";
import { knownKey } from "../api/key";
import { Alert } from "../parts/alert";
import { copy } from "../parts/copying";
import { Dials, ResetButton, SeedField, StopField } from "../parts/dials";
import { Branches } from "./branches";
import { EXAMPLES } from "./examples";
import { Inspector } from "./inspector";
import { curious, watchPlace } from "./lookup";
import { Output } from "./output";
import { asCurl, asPython, bodyOf } from "./snippet";
import { branch, failure, generate, past, proceed, prompt, regenerate, settings, stop, texts, undo, writing } from "./state";

export function Playground() {
  useEffect(watchPlace, []);
  return (
    <>
      <div class="work">
        <Compose />
        <Alert failure={failure.value} retry={branch.value ? proceed : generate} />
        <Output />
      </div>
      <div class="side">
        <Inspector />
        <Branches />
      </div>
      <SettingsPanel />
    </>
  );
}

function Compose() {
  const submit = (event: Event) => {
    event.preventDefault();
    if (writing.value) stop();
    else generate();
  };
  return (
    <form class="compose" onSubmit={submit}>
      <div class="over">
        <label for="prompt">Prompt</label>
        <Examples />
      </div>
      <textarea
        id="prompt"
        rows={4}
        value={prompt.value}
        onInput={(event) => (prompt.value = event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit(event)}
      />
      <Actions />
    </form>
  );
}

function Examples() {
  const take = (event: Event) => {
    const field = event.currentTarget as HTMLSelectElement;
    prompt.value = EXAMPLES[Number(field.value)]?.prompt ?? prompt.value;
    field.value = "";
  };
  return (
    <select aria-label="Examples" value="" onChange={take}>
      <option value="">Examples</option>
      {EXAMPLES.map((example, place) => <option key={example.label} value={place}>{example.label}</option>)}
    </select>
  );
}

function Actions() {
  return (
    <div class="row">
      {/* One button for both, so that the focus stays on it. */}
      <button type="submit" class="main" disabled={!model.value} title="Ctrl+Enter">{writing.value ? "Stop" : "Generate"}</button>
      <button type="button" disabled={!branch.value} onClick={regenerate}>Regenerate</button>
      <button type="button" disabled={!past.value.length} onClick={undo}>Undo</button>
      <span class="gap" />
      <CopyButtons />
    </div>
  );
}

function CopyButtons() {
  const snippet = (write: typeof asCurl) => {
    const body = bodyOf(model.value, prompt.value, settings.value, settings.value.seed ?? branch.value?.seed ?? null);
    return write(body, new URL("v1", document.baseURI).href, knownKey() !== null);
  };
  return (
    <>
      <span class="quiet">Copy as</span>
      <button type="button" class="plain" aria-label="Copy as curl" onClick={() => void copy(snippet(asCurl), "curl command")}>curl</button>
      <button type="button" class="plain" aria-label="Copy as Python" onClick={() => void copy(snippet(asPython), "Python program")}>
        Python
      </button>
      <button
        type="button"
        class="plain"
        aria-label="Copy as text"
        disabled={!branch.value}
        onClick={() => void copy(`${branch.value?.prompt}${texts.value.join("")}`, "Text")}
      >
        text
      </button>
    </>
  );
}

function SettingsPanel() {
  return (
    <section class="settings" aria-labelledby="settings-heading">
      <div class="over">
        <h2 id="settings-heading">Settings</h2>
        <ResetButton settings={settings} />
      </div>
      <Dials settings={settings} onMove={() => (curious.value = true)} />
      <SeedField settings={settings} />
      <StopField settings={settings} />
    </section>
  );
}
