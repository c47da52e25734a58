/** How two models' log-probabilities of the same tokens differ. Pure. */

export type Scores = (number | null)[];

/** Positive where the second finds a token likelier; null where either has no score. */
export function differences(first: Scores, second: Scores): Scores {
  return first.map((score, place) => {
    const other = second[place] ?? null;
    return score === null || other === null ? null : other - score;
  });
}

/** Over what is known; null where nothing is. */
export function mean(values: Scores): number | null {
  const known = values.filter((value) => value !== null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

/** Places of the greatest differences, greatest first. */
export function widest(values: Scores, count: number): number[] {
  return values
    .map((value, place) => ({ size: Math.abs(value ?? 0), place }))
    .filter(({ size }) => size > 0)
    .sort((one, other) => other.size - one.size)
    .slice(0, count)
    .map(({ place }) => place);
}
