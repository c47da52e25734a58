/** Text as tokens that can be looked at one by one, with the pointer or the arrow keys. */

import { useRef, useState } from "preact/hooks";

export interface Shown {
  text: string;
  colour: string;
  /** What is said of it when it is looked at. */
  label: string;
}

export function TokenText({ tokens, label }: { tokens: Shown[]; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const [held, setHeld] = useState<number | null>(null);
  const [under, setUnder] = useState<number | null>(null);
  const looked = under ?? held;
  const handle = (event: KeyboardEvent) => {
    const at = Number((event.target as HTMLElement).dataset.place);
    const moves: Record<string, number> = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tokens.length - 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    box.current?.querySelector<HTMLElement>(`[data-place="${moves[event.key]}"]`)?.focus();
  };
  return (
    <>
      <div
        ref={box}
        class="tokens"
        role="group"
        aria-label={`${label}. Left and right arrow move.`}
        onKeyDown={handle}
        onPointerOver={(event) => setUnder(placeOf(event))}
        onPointerLeave={() => setUnder(null)}
      >
        {tokens.map((token, place) => (
          <span
            key={place}
            class={`token ${token.colour}${looked === place ? " here" : ""}${token.text.includes("\n") ? " breaks" : ""}`}
            role="button"
            aria-label={token.label}
            data-place={place}
            tabIndex={place === (held ?? 0) ? 0 : -1}
            onFocus={() => setHeld(place)}
            onClick={() => setHeld(place)}
          >
            {token.text === "" ? "◌" : token.text}
          </span>
        ))}
      </div>
      <p class="readout" aria-hidden="true">{looked === null ? "\u00a0" : tokens[looked]?.label}</p>
    </>
  );
}

function placeOf(event: PointerEvent): number | null {
  const place = (event.target as HTMLElement).dataset.place;
  return place === undefined ? null : Number(place);
}
