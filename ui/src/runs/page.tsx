/** The runs: a list of folders, and the curves, samples and logbook of one. */

import { useEffect, useState } from "preact/hooks";
import type { RunLine } from "../api/runs";
import { Markdown } from "../markdown/view";
import { Alert } from "../parts/alert";
import { short } from "../parts/figures";
import { route } from "../route";
import { lastOf } from "./columns";
import { Curves } from "./curves";
import { runs, runsFailure, type Watched, watched, watchedFailure, watchRun, watchRuns } from "./watch";

const STATES = { running: "running", finished: "finished", stopped: "stopped" };

export function Runs() {
  const [turn, setTurn] = useState(0);
  useEffect(watchRuns, [turn]);
  const chosen = route.value.rest;
  return (
    <>
      <List chosen={chosen} retry={() => setTurn(turn + 1)} />
      {chosen ? <Detail key={chosen} id={chosen} /> : <p class="quiet">Choose a run to see its curves.</p>}
    </>
  );
}

function List({ chosen, retry }: { chosen: string; retry: () => void }) {
  const all = runs.value;
  return (
    <section class="list" aria-labelledby="runs-heading">
      <h2 id="runs-heading">Runs</h2>
      <Alert failure={runsFailure.value} retry={retry} />
      {all?.length === 0 && <p class="quiet">No run folder yet. Start one with <code>genus demo</code>.</p>}
      <ul>
        {all?.map((run) => (
          <li key={run.id}>
            <a href={`#/runs/${run.id.split("/").map(encodeURIComponent).join("/")}`} aria-current={run.id === chosen ? "page" : undefined}>
              <RunSummary run={run} />
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function RunSummary({ run }: { run: RunLine }) {
  return (
    <>
      <span class="name">{run.name}</span>
      <span class={`state ${STATES[run.state] ?? ""}`}>{STATES[run.state] ?? run.state}</span>
      <span class="quiet figures">
        {run.stage} · step {run.step.toLocaleString("en")}
        {run.steps > 0 && ` of ${run.steps.toLocaleString("en")}`} · {ago(run.updated)}
      </span>
      {run.steps > 0 && <progress aria-label="Progress" max={run.steps} value={run.step} />}
    </>
  );
}

export function ago(seconds: number, now = Date.now() / 1000): string {
  const passed = Math.max(0, now - seconds);
  if (passed < 60) return "just now";
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]] as const) {
    if (passed >= size) return `${Math.floor(passed / size)} ${unit} ago`;
  }
  return "";
}

function Detail({ id }: { id: string }) {
  const [turn, setTurn] = useState(0);
  useEffect(() => watchRun(id), [id, turn]);
  const seen = watched.value?.id === id ? watched.value : null;
  return (
    <div class="detail">
      <Alert failure={watchedFailure.value} retry={() => setTurn(turn + 1)} />
      {!seen && !watchedFailure.value && <p class="quiet">Loading…</p>}
      {seen && <Parts seen={seen} />}
    </div>
  );
}

function Parts({ seen }: { seen: Watched }) {
  return (
    <>
      <section aria-labelledby="curves-heading">
        <div class="over">
          <h2 id="curves-heading">Curves</h2>
          <Latest seen={seen} />
        </div>
        {seen.metrics.length ? <Curves metrics={seen.metrics} /> : <p class="quiet">Nothing was measured yet.</p>}
      </section>
      <Samples samples={seen.samples} />
      <section aria-labelledby="logbook-heading">
        <h2 id="logbook-heading">Logbook</h2>
        {seen.logbook.trim() ? <Markdown text={seen.logbook} /> : <p class="quiet">This run has no logbook.</p>}
      </section>
    </>
  );
}

function Latest({ seen }: { seen: Watched }) {
  const validation = lastOf(seen.metrics, "validation_loss");
  const training = lastOf(seen.metrics, "loss");
  const told = [training !== null && `training ${short(training)}`, validation !== null && `validation ${short(validation)}`];
  return <p class="quiet figures">{told.filter(Boolean).join(" · ")}</p>;
}

function Samples({ samples }: { samples: Watched["samples"] }) {
  const [all, setAll] = useState(false);
  const shown = all ? samples : samples.slice(-3);
  return (
    <section class="samples" aria-labelledby="samples-heading">
      <div class="over">
        <h2 id="samples-heading">Samples</h2>
        {samples.length > 3 && (
          <button type="button" class="plain" aria-expanded={all} onClick={() => setAll(!all)}>
            {all ? "The last three" : `All ${samples.length}`}
          </button>
        )}
      </div>
      {samples.length === 0 && <p class="quiet">None yet.</p>}
      <ol>
        {shown.toReversed().map((sample) => (
          <li key={sample.step}>
            <span class="quiet figures">step {sample.step.toLocaleString("en")}</span>
            <p>{sample.text}</p>
          </li>
        ))}
      </ol>
    </section>
  );
}
