import { describe, expect, it } from "vitest";
import { DEFAULTS } from "../src/api/settings";
import { spell, spoken, visible } from "../src/api/spelling";
import { differences, mean, widest } from "../src/compare/difference";
import { differenceClass, probabilityClass, STEPS, surprise } from "../src/parts/colour";
import { count, percent, short, signed } from "../src/parts/figures";
import { cut } from "../src/playground/cut";

const OPEN = { ...DEFAULTS, temperature: 1, topP: 1 };
const known = [0.5, 0.25, 0.15, 0.1].map((probability, token) => ({ token, name: `${token}`, logprob: Math.log(probability) }));
const keptOf = (settings: object) => cut(known, { ...OPEN, ...settings }).map((row) => row.kept);
const sharesOf = (settings: object) => cut(known, { ...OPEN, ...settings }).map((row) => Number(row.probability.toFixed(4)));

describe("cut, where all tokens are known", () => {
  it("keeps all, with their own probabilities, when nothing is asked", () => {
    expect(sharesOf({})).toEqual([0.5, 0.25, 0.15, 0.1]);
  });

  it("takes only the likeliest at temperature 0", () => {
    expect(sharesOf({ temperature: 0 })).toEqual([1, 0, 0, 0]);
  });

  it("raises probabilities to 1/T", () => {
    const squares = [0.25, 0.0625, 0.0225, 0.01];
    const sum = squares.reduce((one, other) => one + other);
    expect(sharesOf({ temperature: 0.5 })).toEqual(squares.map((each) => Number((each / sum).toFixed(4))));
  });

  it("keeps the token that reaches top-p, and no other", () => {
    expect(keptOf({ topP: 0.5 })).toEqual([true, false, false, false]);
    expect(keptOf({ topP: 0.51 })).toEqual([true, true, false, false]);
    expect(sharesOf({ topP: 0.75 })).toEqual([0.6667, 0.3333, 0, 0]);
  });

  it("counts for top-k, and compares for min-p", () => {
    expect(keptOf({ topK: 3 })).toEqual([true, true, true, false]);
    expect(keptOf({ minP: 0.3 })).toEqual([true, true, true, false]);
  });

  it("takes penalties from what was written", () => {
    const rows = cut(known, { ...OPEN, presencePenalty: 1, frequencyPenalty: 0.5 }, new Map([[0, 2]]));
    const weights = [0.5 * Math.exp(-2), 0.25, 0.15, 0.1];
    const sum = weights.reduce((one, other) => one + other);
    rows.forEach((row, place) => expect(row.probability).toBeCloseTo(weights[place] / sum, 6));
  });

  it("leaves room for tokens that it does not know", () => {
    const two = cut(known.slice(0, 2), { ...OPEN });
    expect(two[0].probability).toBeCloseTo(0.5, 6);
    expect(cut(known.slice(0, 2), { ...OPEN, topP: 0.7 }).map((row) => row.kept)).toEqual([true, true]);
  });
});

describe("colours", () => {
  it("have eight steps, falling with the probability", () => {
    const steps = [1, 0.8, 0.79, 0.3, 0.01, 0.0099, 0].map(surprise);
    expect(steps).toEqual([0, 0, 1, 2, 6, 7, 7]);
    expect(surprise(0)).toBe(STEPS.length);
    expect(probabilityClass(null)).toBe("");
    expect(probabilityClass(Math.log(0.6))).toBe("p1");
  });

  it("have two sides for a difference", () => {
    expect([0, 0.05, 0.1, -0.6, 1.5, -9, null].map(differenceClass)).toEqual(["d0", "d0", "u1", "l2", "u3", "l4", ""]);
  });
});

describe("differences", () => {
  it("are the second less the first, and unknown where either is", () => {
    const found = differences([-1, -2, null, -1], [-3, -1.5, -1, null]);
    expect(found).toEqual([-2, 0.5, null, null]);
    expect(mean(found)).toBeCloseTo(-0.75);
    expect(mean([null])).toBeNull();
    expect(widest(found, 5)).toEqual([0, 1]);
  });
});

describe("spelling", () => {
  it("gives a character to the token that completes it", () => {
    const texts = spell(["a", "bytes:\\xe2\\x82", "bytes:\\xac", "!"]);
    expect(texts).toEqual(["a", "", "€", "!"]);
    expect(spell(["bytes:\\xff", "x"]).join("")).toBe("\ufffdx");
    expect(spell(["x", "bytes:\\xe2"]).join("")).toBe("x\ufffd");
  });

  it("shows and says what cannot be seen", () => {
    expect([" the", "\n\n", "bytes:\\xe2\\x82", ""].map(visible)).toEqual(["␣the", "↵↵", "‹e2›‹82›", "(nothing)"]);
    expect([" the", "\n", "  ", ""].map(spoken)).toEqual(["the", "line break", "space", "no text"]);
  });
});

describe("figures", () => {
  it("read well at every size", () => {
    expect([0, 0.00001, 0.0042, 0.5, 0.9999, 1].map(percent)).toEqual(["0%", "<0.01%", "0.42%", "50.0%", ">99.9%", "100.0%"]);
    expect([0.3, -0.3].map((value) => signed(value))).toEqual(["+0.30", "−0.30"]);
    expect([4096, 1_900_000, 135_000_000].map(count)).toEqual(["4,096", "1.9M", "135M"]);
    expect([0, 0.00006144, 0.0005, 3.14159, 12345].map(short)).toEqual(["0", "6.14e-5", "5e-4", "3.142", "12,350"]);
  });
});
