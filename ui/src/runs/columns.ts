/** Metrics as the aligned columns that uPlot draws. Pure. */

import type { Metric } from "../api/runs";

export type Axis = "step" | "tokens";
export type Field = "loss" | "validation_loss" | "lr" | "gradient_norm" | "tokens_per_second" | "left";
export type Columns = [number[], ...(number | null)[][]];

/** Steps that the drawn training loss is averaged over, as in the report page. */
export const SMOOTH = 20;

/** x, then one column for each field; null where a line does not have it. */
export function columnsOf(metrics: Metric[], axis: Axis, fields: Field[]): Columns {
  const lines = metrics.filter((line) => fields.some((field) => valueOf(line, field) !== null));
  const places = [...new Set(lines.map((line) => placeOf(line, axis)))].sort((one, other) => one - other);
  const index = new Map(places.map((place, row) => [place, row]));
  const columns = fields.map(() => new Array<number | null>(places.length).fill(null));
  for (const line of lines) {
    fields.forEach((field, column) => {
      const value = valueOf(line, field);
      if (value !== null) columns[column][index.get(placeOf(line, axis))!] = value;
    });
  }
  return [places, ...columns];
}

function placeOf(line: Metric, axis: Axis): number {
  return axis === "tokens" ? (line.tokens ?? line.step) : line.step;
}

/** Lines that the run left by going back have nothing but "left", their training loss; other lines have all but that. */
function valueOf(line: Metric, field: Field): number | null {
  if ((line.abandoned !== undefined) !== (field === "left")) return null;
  const value = line[field === "left" ? "loss" : field];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** The mean of each value and those before it; null stays null and does not count. */
export function smoothed(values: (number | null)[], width = SMOOTH): (number | null)[] {
  const window: number[] = [];
  let sum = 0;
  return values.map((value) => {
    if (value === null) return null;
    window.push(value);
    sum += value;
    if (window.length > width) sum -= window.shift()!;
    return sum / window.length;
  });
}

/** The known lines with new ones; null where the run went back to an earlier step, so that all must be read again. */
export function joined(known: Metric[], more: Metric[]): Metric[] | null {
  const last = known.at(-1)?.step ?? -1;
  const wentBack = more.some((line) => line.abandoned !== undefined || line.step < last);
  return known.length && wentBack ? null : [...known, ...more];
}

export function lastOf(metrics: Metric[], field: Field): number | null {
  const found = metrics.findLast((line) => valueOf(line, field) !== null);
  return found ? valueOf(found, field) : null;
}
