/** The ranking as a row of places, the best first, into which the answers' letters are put. */

import { useMemo } from "preact/hooks";
import { draggable } from "./drag";
import { letter, setRank } from "./ranking";
import { change, draft } from "./state";

export function Board({ focus }: { focus: (place: number) => void }) {
  const { ranks } = draft.value;
  const count = ranks.length;
  return (
    <div class="board" role="group" aria-label="Ranking">
      {Array.from({ length: count + 1 }, (_, rank) => (
        <div key={rank} class={rank ? "slot" : "slot tray"} data-rank={rank}>
          <span class="quiet">{nameOf(rank, count)}</span>
          {ranks.map((each, place) => (each ?? 0) === rank && <Chip key={place} place={place} focus={focus} />)}
        </div>
      ))}
    </div>
  );
}

function nameOf(rank: number, count: number): string {
  if (rank === 0) return "no rank";
  if (rank === 1) return "1 best";
  return rank === count ? `${rank} worst` : `${rank}`;
}

function Chip({ place, focus }: { place: number; focus: (place: number) => void }) {
  const drag = useMemo(() => draggable((rank) => change(setRank(draft.value, place, rank || null))), [place]);
  const rank = draft.value.ranks[place];
  return (
    <button type="button" class="chip" data-answer={place} aria-label={`Answer ${letter(place)}, ${rank ? `rank ${rank}` : "no rank"}`} onClick={() => focus(place)} {...drag}>
      {letter(place)}
    </button>
  );
}
