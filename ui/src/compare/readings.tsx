/** The first column's text, token by token, as the other columns' models see it. */

import { spell, spoken, visible } from "../api/spelling";
import { Alert } from "../parts/alert";
import { differenceClass } from "../parts/colour";
import { signed } from "../parts/figures";
import { TokenText } from "../parts/token-text";
import { differences, mean, type Scores, widest } from "./difference";
import { readAll, type Reading, readings, type Written, written } from "./state";

const SHOWN = 5;

export function Readings() {
  const first = written.value[0];
  const known = readings.value.map((reading, column) => ({ reading, column })).filter(({ reading }) => reading);
  if (!first || !known.length) return null;
  return (
    <section class="readings" aria-labelledby="readings-heading">
      <div class="over">
        <h2 id="readings-heading">Text 1 under the other models</h2>
        <Legend />
      </div>
      {known.map(({ reading, column }) => <OneReading key={column} first={first} reading={reading!} column={column} />)}
    </section>
  );
}

function Legend() {
  const steps = ["l4", "l3", "l2", "l1", "d0", "u1", "u2", "u3", "u4"];
  return (
    <p class="legend">
      <span class="quiet">less likely than in column 1</span>
      {steps.map((step) => <span key={step} class={`swatch ${step}`} />)}
      <span class="quiet">likelier</span>
    </p>
  );
}

function OneReading({ first, reading, column }: { first: Written; reading: Reading; column: number }) {
  const model = written.value[column]?.model ?? "";
  return (
    <div class="reading">
      <h3>
        Column {column + 1}: {model}
      </h3>
      {reading.reason && <p class="quiet">{reading.reason}</p>}
      <Alert failure={reading.failure} retry={() => void readAll()} />
      {reading.scores && <Difference first={first} scores={reading.scores} column={column} />}
    </div>
  );
}

function Difference({ first, scores, column }: { first: Written; scores: Scores; column: number }) {
  const mine = first.tokens.map((token) => token.logprob);
  const found = differences(mine, scores);
  const names = first.tokens.map((token) => token.name);
  const texts = spell(names);
  const shown = first.tokens.map((token, place) => ({
    text: texts[place],
    colour: differenceClass(found[place]),
    label: `${spoken(token.name)}: column 1 ${figure(mine[place])}, column ${column + 1} ${figure(scores[place])}, difference ${
      found[place] === null ? "unknown" : signed(found[place])
    }`,
  }));
  const average = mean(found);
  const most = widest(found, SHOWN).map((place) => `${visible(names[place])} ${signed(found[place]!)}`);
  return (
    <>
      <TokenText tokens={shown} label={`Text 1 under column ${column + 1}`} />
      <p class="summary figures">
        {average !== null && <span>{`Difference ${signed(average, 3)} nats a token`}</span>}
        {most.length > 0 && <span>{`Widest: ${most.join(" · ")}`}</span>}
      </p>
    </>
  );
}

function figure(score: number | null | undefined): string {
  return score === null || score === undefined ? "unknown" : score.toFixed(3);
}
