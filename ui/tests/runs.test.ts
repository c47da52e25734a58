import { describe, expect, it } from "vitest";
import { columnsOf, joined, lastOf, smoothed } from "../src/runs/columns";
import { readRoute } from "../src/route";

const METRICS = [
  { step: 0, tokens: 0, validation_loss: 8 },
  { step: 1, tokens: 100, loss: 7, lr: 0.1 },
  { step: 2, tokens: 200, loss: null, lr: 0.2 },
  { step: 2, tokens: 200, validation_loss: 6 },
  { step: 3, tokens: 300, loss: 99, abandoned: 1 },
];

describe("columnsOf", () => {
  it("aligns lines of one step and keeps what the run left apart", () => {
    expect(columnsOf(METRICS, "step", ["loss", "validation_loss"])).toEqual([
      [0, 1, 2],
      [null, 7, null],
      [8, null, 6],
    ]);
    expect(columnsOf(METRICS, "tokens", ["lr"])).toEqual([[100, 200], [0.1, 0.2]]);
    expect(columnsOf(METRICS, "step", ["loss", "left"])).toEqual([
      [1, 3],
      [7, null],
      [null, 99],
    ]);
  });
});

describe("smoothed", () => {
  it("is the mean of the last values, gaps apart", () => {
    expect(smoothed([4, null, 2, 6], 2)).toEqual([4, null, 3, 4]);
  });
});

describe("joined", () => {
  it("adds lines, and asks for all anew where the run went back", () => {
    expect(joined(METRICS.slice(0, 2), METRICS.slice(2, 4))).toHaveLength(4);
    expect(joined(METRICS.slice(0, 4), [{ step: 1, loss: 5 }])).toBeNull();
    expect(joined(METRICS.slice(0, 4), [METRICS[4]])).toBeNull();
    expect(joined([], METRICS)).toEqual(METRICS);
  });
});

it("lastOf finds the newest number of a field", () => {
  expect(lastOf(METRICS, "loss")).toBe(7);
  expect(lastOf(METRICS, "gradient_norm")).toBeNull();
});

it("readRoute knows its pages and takes all else for the playground", () => {
  expect(readRoute("#/runs/a%2Fb")).toEqual({ page: "runs", rest: "a/b" });
  expect(readRoute("#/runs/a/b")).toEqual({ page: "runs", rest: "a/b" });
  expect(readRoute("#/nowhere").page).toBe("playground");
  expect(readRoute("#/runs/%zz").rest).toBe("%zz");
});
