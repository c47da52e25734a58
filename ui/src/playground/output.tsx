/** The text that was written, each token in the colour of its probability. */

import { useRef } from "preact/hooks";
import type { Token } from "../api/completions";
import { visible, spoken } from "../api/spelling";
import { probabilityClass, STEPS } from "../parts/colour";
import { percent } from "../parts/figures";
import { Thumbs } from "../rank/thumbs";
import { view } from "./lookup";
import { branch, branchAt, path, peeked, pinned, place, proceed, texts, writing } from "./state";

export function Output() {
  const shown = branch.value;
  return (
    <section class="output" aria-labelledby="output-heading">
      <div class="over">
        <h2 id="output-heading">Text</h2>
        <Legend />
      </div>
      {shown || path.value.length ? <Tokens /> : <p class="quiet">Generate, or move a slider to see what would come next.</p>}
      {shown && <Summary />}
    </section>
  );
}

function Legend() {
  return (
    <p class="legend">
      <span class="quiet">likely</span>
      {[...STEPS, 0].map((least, step) => (
        <span key={step} class={`swatch p${step}`} title={step < STEPS.length ? `${least * 100}% or more` : `below ${STEPS[step - 1] * 100}%`} />
      ))}
      <span class="quiet">surprising</span>
    </p>
  );
}

function Tokens() {
  const box = useRef<HTMLDivElement>(null);
  const tokens = path.value;
  const focus = (to: number) => {
    const wanted = Math.max(0, Math.min(tokens.length, to));
    box.current?.querySelector<HTMLElement>(`[data-place="${wanted}"]`)?.focus();
  };
  const handle = (event: KeyboardEvent) => {
    const at = Number((event.target as HTMLElement).dataset.place);
    if (Number.isInteger(at) && act(event.key, at, tokens.length, focus)) event.preventDefault();
  };
  const reachable = pinned.value ?? tokens.length;
  return (
    <div
      ref={box}
      class="tokens"
      role="group"
      aria-label="Tokens. Left and right arrow move, Enter goes to the candidates, a digit takes one."
      onKeyDown={handle}
      onPointerOver={(event) => event.pointerType === "mouse" && (peeked.value = placeUnder(event))}
      onPointerLeave={() => (peeked.value = null)}
    >
      <span class="prompt">{branch.value?.prompt}</span>
      {tokens.map((token, at) => (
        <TokenView key={at} token={token} text={texts.value[at]} at={at} current={at === place.value} tabIndex={at === reachable ? 0 : -1} />
      ))}
      <span
        class={place.value === tokens.length ? "end here" : "end"}
        role="button"
        aria-label="End of the text: what could come next"
        data-place={tokens.length}
        tabIndex={reachable === tokens.length ? 0 : -1}
        onFocus={() => (pinned.value = null)}
      >
        {writing.value ? <span class="caret" /> : "+"}
      </span>
    </div>
  );
}

interface TokenProps {
  token: Token;
  text: string;
  at: number;
  current: boolean;
  tabIndex: number;
}

function TokenView({ token, text, at, current, tabIndex }: TokenProps) {
  const share = token.logprob === null ? "" : percent(Math.exp(token.logprob));
  return (
    <span
      class={`token ${probabilityClass(token.logprob)}${current ? " here" : ""}${token.byHand ? " chosen" : ""}${text.includes("\n") ? " breaks" : ""}`}
      role="button"
      aria-label={`${spoken(token.name)}, ${share}`}
      title={`${visible(token.name)}  ${share}`}
      data-place={at}
      tabIndex={tabIndex}
      onFocus={() => (pinned.value = at)}
      onClick={() => (pinned.value = at)}
    >
      {text === "" ? "◌" : text}
    </span>
  );
}

function placeUnder(event: PointerEvent): number | null {
  const found = (event.target as HTMLElement).closest<HTMLElement>("[data-place]");
  return found ? Number(found.dataset.place) : peeked.value;
}

/** Whether a key pressed on the token at `at` meant something. */
function act(key: string, at: number, length: number, focus: (to: number) => void): boolean {
  const moves: Record<string, number> = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: length };
  if (key in moves) focus(moves[key]);
  else if (key === "Escape") pinned.value = null;
  else if (key === "Enter" || key === " ") document.querySelector<HTMLElement>(".candidates button:not(:disabled)")?.focus();
  else if (/^[0-9]$/.test(key)) takeCandidate(at, (Number(key) + 9) % 10);
  else return false;
  return true;
}

export function takeCandidate(at: number, rank: number): void {
  const row = view.value.rows[rank];
  if (!row || row.token === null) return;
  void branchAt(at, { id: row.token, name: row.name, logprob: row.logprob, top: [], byHand: true });
}

function Summary() {
  const tokens = path.value.filter((token) => token.logprob !== null);
  const mean = tokens.reduce((sum, token) => sum + token.logprob!, 0) / tokens.length;
  const { finish, seed, model, prompt } = branch.value!;
  const text = texts.value.join("");
  const told = [
    model,
    `seed ${seed}`,
    `${path.value.length} tokens`,
    ...(tokens.length ? [`perplexity ${Math.exp(-mean).toFixed(2)}`] : []),
    ...(finish === "stop" ? ["ended by itself"] : []),
  ];
  return (
    <p class="summary">
      <span class="figures">{told.join(" · ")}</span>
      {!writing.value && finish !== "stop" && (
        <button type="button" class="plain" onClick={proceed}>Write on</button>
      )}
      {!writing.value && <Thumbs key={`${prompt}\n${text}`} prompt={prompt} answer={text} model={model} />}
    </p>
  );
}
