/** Which of a few steps of colour a number is drawn in. The colours themselves are in style/tokens.css, by theme. */

/** Least probability of each step; what is below the last is the most surprising. */
export const STEPS = [0.8, 0.5, 0.3, 0.15, 0.07, 0.03, 0.01] as const;

/** 0 for a token that was nearly certain, up to 7. */
export function surprise(probability: number): number {
  const step = STEPS.findIndex((least) => probability >= least);
  return step < 0 ? STEPS.length : step;
}

export function probabilityClass(logprob: number | null): string {
  return logprob === null ? "" : `p${surprise(Math.exp(logprob))}`;
}

/** Nats at which a difference gets its next step, on either side. */
const DIFFERENCES = [0.1, 0.5, 1, 2];

/** d0 where two models agree, u1 to u4 where the other finds a token likelier, l1 to l4 where less likely. */
export function differenceClass(difference: number | null): string {
  if (difference === null) return "";
  const size = DIFFERENCES.filter((least) => Math.abs(difference) >= least).length;
  return size === 0 ? "d0" : `${difference > 0 ? "u" : "l"}${size}`;
}
