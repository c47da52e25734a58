/** The ten likeliest tokens at the place that is looked at, which of them the cut keeps, and how open the choice was. */

import { spoken, visible } from "../api/spelling";
import { Alert } from "../parts/alert";
import { percent } from "../parts/figures";
import type { Row } from "./cut";
import { curious, lookAgain, lookupFailure, view } from "./lookup";
import { takeCandidate } from "./output";
import { path, pinned, place, settings } from "./state";

export function Inspector() {
  const { rows, entropy, kept, exact } = view.value;
  return (
    <section class={pinned.value === null ? "inspector" : "inspector held"} aria-labelledby="candidates-heading">
      <h2 id="candidates-heading">{heading()}</h2>
      <dl class="facts">
        <Fact label="Entropy" value={entropy === null ? "–" : `${entropy.toFixed(2)} bits`} hint="Of the raw distribution: 0 is certain" />
        <Fact label="Cut keeps" value={kept === null ? "–" : kept.toLocaleString("en")} hint="Tokens that these settings leave to choose from" />
        <Fact label="Temperature" value={settings.value.temperature.toFixed(2)} hint="Of these settings" />
      </dl>
      <Alert failure={lookupFailure.value} retry={lookAgain} />
      {rows.length ? <Rows rows={rows} exact={exact} /> : <Nothing />}
    </section>
  );
}

function heading() {
  const token = path.value[place.value];
  if (!token) return "Next token";
  return (
    <>
      Token {place.value + 1} <q class="piece">{visible(token.name)}</q>
    </>
  );
}

function Fact({ label, value, hint }: { label: string; value: string; hint: string }) {
  return (
    <div title={hint}>
      <dt>{label}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Nothing() {
  return (
    <p class="quiet">
      <button type="button" class="plain" onClick={() => (curious.value = true)}>Show what could come next</button>
    </p>
  );
}

function Rows({ rows, exact }: { rows: Row[]; exact: boolean }) {
  const most = Math.max(...rows.map((row) => Math.max(row.probability, Math.exp(row.logprob))));
  const written = path.value[place.value]?.name;
  return (
    <>
      <ol class={exact ? "candidates" : "candidates estimated"} onKeyDown={move}>
        {rows.map((row, rank) => (
          <CandidateRow key={`${row.name} ${row.token ?? ""}`} row={row} rank={rank} most={most} written={row.name === written} />
        ))}
      </ol>
      <p class="quiet key">
        <span class="sample raw" /> raw <span class="sample after" /> after temperature and cut
      </p>
    </>
  );
}

function CandidateRow({ row, rank, most, written }: { row: Row; rank: number; most: number; written: boolean }) {
  const raw = Math.exp(row.logprob);
  const said = `${spoken(row.name)}, ${percent(raw)}, ${row.kept ? `kept, then ${percent(row.probability)}` : "cut"}`;
  return (
    <li>
      <button
        type="button"
        class={`candidate${row.kept ? "" : " cut"}${written ? " written" : ""}`}
        disabled={row.token === null}
        onClick={() => takeCandidate(place.value, rank)}
      >
        <span class="unseen">{`${said}${written ? ", written here" : ""}. Branch with it`}</span>
        <span class="rank" aria-hidden="true">{(rank + 1) % 10}</span>
        <span class="piece" aria-hidden="true">{visible(row.name)}</span>
        <span class="bars" aria-hidden="true">
          <span class="bar raw" style={{ width: `${(100 * raw) / most}%` }} />
          <span class="bar after" style={{ width: `${(100 * row.probability) / most}%` }} />
        </span>
        <span class="share" aria-hidden="true">{percent(raw)}</span>
        <span class="share strong" aria-hidden="true">{row.kept ? percent(row.probability) : "cut"}</span>
      </button>
    </li>
  );
}

function move(event: KeyboardEvent): void {
  const list = event.currentTarget as HTMLElement;
  const buttons = [...list.querySelectorAll<HTMLElement>("button")];
  const at = buttons.indexOf(event.target as HTMLElement);
  if (event.key === "ArrowDown") buttons[at + 1]?.focus();
  else if (event.key === "ArrowUp") buttons[at - 1]?.focus();
  else if (event.key === "Escape") document.querySelector<HTMLElement>(`.tokens [data-place="${pinned.value ?? path.value.length}"]`)?.focus();
  else return;
  event.preventDefault();
}
