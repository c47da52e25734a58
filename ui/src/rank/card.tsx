/** One answer without its author: its text, its rank, and the questions about it. */

import { desk } from "../api/feedback";
import { letter, setFlag, setOverall, setRank } from "./ranking";
import { change, draft, task } from "./state";

const SCORES = [1, 2, 3, 4, 5, 6, 7];

export function Card({ place }: { place: number }) {
  const rank = draft.value.ranks[place];
  const name = `Answer ${letter(place)}`;
  return (
    <article class={rank === null ? "answer" : "answer ranked"} data-answer={place} tabIndex={0} aria-label={`${name}, ${rank ? `rank ${rank}` : "no rank"}`}>
      <div class="over">
        <h3 class="letter" aria-hidden="true">{letter(place)}</h3>
        <Ranks place={place} name={name} />
      </div>
      <p class="text">{task.value!.answers[place]}</p>
      <Overall place={place} name={name} />
      <Flags place={place} name={name} />
    </article>
  );
}

function Ranks({ place, name }: { place: number; name: string }) {
  const { ranks } = draft.value;
  return (
    <div class="ranks" role="group" aria-label={`Rank of ${name}`}>
      {ranks.map((_, index) => {
        const on = ranks[place] === index + 1;
        return (
          <button key={index} type="button" aria-pressed={on} aria-label={`Rank ${index + 1}`} onClick={() => change(setRank(draft.value, place, on ? null : index + 1))}>
            {index + 1}
          </button>
        );
      })}
    </div>
  );
}

function Overall({ place, name }: { place: number; name: string }) {
  return (
    <fieldset class="overall">
      <legend>Overall<span class="unseen"> of {name}, 1 bad to 7 good</span></legend>
      {SCORES.map((score) => (
        <label key={score}>
          <input
            type="radio"
            name={`overall-${task.value!.id}-${place}`}
            checked={draft.value.overall[place] === score}
            onChange={() => change(setOverall(draft.value, place, score))}
          />
          <span>{score}</span>
        </label>
      ))}
    </fieldset>
  );
}

function Flags({ place, name }: { place: number; name: string }) {
  const given = draft.value.flags[place];
  return (
    <details class="flags">
      <summary>
        Flags<span class="unseen"> of {name}</span>
        {given.length > 0 && <span class="count">{given.length}</span>}
      </summary>
      {Object.entries(desk.value!.flags).map(([flag, words]) => (
        <label key={flag}>
          <input type="checkbox" checked={given.includes(flag)} onChange={(event) => change(setFlag(draft.value, place, flag, event.currentTarget.checked))} />
          <span>{words}</span>
        </label>
      ))}
    </details>
  );
}
