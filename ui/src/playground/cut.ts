/** Which of the known candidates the cut would keep: shown while the server's exact answer is on its way. */

import type { Settings } from "../api/settings";

export interface Known {
  token: number | null;
  name: string;
  /** Raw, in nats. */
  logprob: number;
}

export interface Row extends Known {
  /** After temperature and cut; 0 where it is cut. */
  probability: number;
  kept: boolean;
}

type Cut = Pick<Settings, "temperature" | "topP" | "topK" | "minP" | "presencePenalty" | "frequencyPenalty">;

/**
 * `known` are the likeliest tokens, `counts` how often each was written already. The engine's order: penalties,
 * temperature, top-k, top-p, min-p. What the rest of the vocabulary weighs after the temperature is estimated by
 * tokens half as likely as the last known one; the repetition penalty, which needs logits, is left to the server.
 */
export function cut(known: Known[], settings: Cut, counts: ReadonlyMap<number, number> = new Map()): Row[] {
  const scored = known.map((each) => ({ ...each, score: each.logprob - penalty(each, settings, counts) }));
  const best = Math.max(...scored.map((each) => each.score));
  if (settings.temperature < 1e-5) {
    return scored.map(({ score, ...each }) => ({ ...each, probability: score === best ? 1 : 0, kept: score === best }));
  }
  const weights = scored.map((each) => Math.exp((each.score - best) / settings.temperature));
  const rest = restOf(known, best, settings.temperature);
  const kept = keptOf(weights, rest, settings);
  const narrowed = settings.topK > 0 || settings.topP < 1 || settings.minP > 0;
  const left = weights.reduce((sum, weight, place) => sum + (kept[place] ? weight : 0), narrowed ? 0 : rest);
  return scored.map(({ score: _, ...each }, place) => ({
    ...each,
    kept: kept[place],
    probability: kept[place] ? weights[place] / left : 0,
  }));
}

function penalty(each: Known, settings: Cut, counts: ReadonlyMap<number, number>): number {
  const count = each.token === null ? 0 : (counts.get(each.token) ?? 0);
  return count ? settings.presencePenalty + settings.frequencyPenalty * count : 0;
}

/** Weights are relative to the likeliest token's, which is 1. */
function keptOf(weights: number[], rest: number, settings: Cut): boolean[] {
  const falling = [...weights].sort((one, other) => other - one);
  const byCount = settings.topK > 0 && settings.topK < weights.length ? falling[settings.topK - 1] : 0;
  const counted = falling.filter((weight) => weight >= byCount);
  const total = counted.reduce((sum, weight) => sum + weight, byCount > 0 ? 0 : rest);
  let sum = 0;
  // The token that reaches the sum is kept, and those as likely as it.
  const byMass = settings.topP < 1 ? (counted.find((weight) => (sum += weight) >= settings.topP * total) ?? 0) : 0;
  const least = Math.max(byCount, byMass, settings.minP);
  return weights.map((weight) => weight >= least);
}

function restOf(known: Known[], best: number, temperature: number): number {
  const missing = 1 - known.reduce((sum, each) => sum + Math.exp(each.logprob), 0);
  if (missing <= 1e-6 || !known.length) return 0;
  const typical = Math.min(...known.map((each) => each.logprob)) - Math.LN2;
  return (missing / Math.exp(typical)) * Math.exp((typical - best) / temperature);
}
