/** The four charts of a run. */

import { signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { Metric } from "../api/runs";
import { kept } from "../parts/kept";
import { Chart, type Curve } from "./chart";
import { type Axis, type Columns, columnsOf, type Field, smoothed } from "./columns";

const axis = kept<Axis>("runs.axis", "step");
const logarithmic = signal(false);

const LOSSES: Curve[] = [
  { label: "each step", colour: "faint", width: 1 },
  { label: "training", colour: "accent", width: 2 },
  { label: "validation", colour: "warm", width: 2, points: true },
];
const LEFT: Curve = { label: "left behind", colour: "faint", width: 1.5, broken: true };

const SMALL: { title: string; field: Field; unit: string }[] = [
  { title: "Learning rate", field: "lr", unit: "" },
  { title: "Gradient norm", field: "gradient_norm", unit: "" },
  { title: "Speed", field: "tokens_per_second", unit: "tokens/s" },
];

export function Curves({ metrics }: { metrics: Metric[] }) {
  const losses = useMemo(() => lossesOf(metrics, axis.value), [metrics, axis.value]);
  const x = axis.value === "step" ? "step" : "token";
  return (
    <>
      <div class="row">
        <label class="row">
          Over{" "}
          <select value={axis.value} onChange={(event) => (axis.value = event.currentTarget.value as Axis)}>
            <option value="step">steps</option>
            <option value="tokens">tokens read</option>
          </select>
        </label>
        <label class="row">
          <input type="checkbox" checked={logarithmic.value} onChange={(event) => (logarithmic.value = event.currentTarget.checked)} />
          Logarithmic loss
        </label>
        <Spikes metrics={metrics} />
      </div>
      <Chart
        title="Loss"
        unit="nats per token"
        x={x}
        height={300}
        logarithmic={logarithmic.value}
        data={losses}
        curves={losses.length > 4 ? [...LOSSES, LEFT] : LOSSES}
      />
      <div class="small-charts">
        {SMALL.map((chart) => <SmallChart key={chart.field} {...chart} metrics={metrics} x={x} />)}
      </div>
    </>
  );
}

function SmallChart({ title, field, unit, metrics, x }: (typeof SMALL)[number] & { metrics: Metric[]; x: string }) {
  const data = useMemo(() => columnsOf(metrics, axis.value, [field]), [metrics, field, axis.value]);
  // Runs of earlier versions did not write all of them.
  if (!data[0].length) return null;
  return <Chart title={title} unit={unit} x={x} height={150} logarithmic={false} data={data} curves={[{ label: "", colour: "accent" }]} />;
}

function lossesOf(metrics: Metric[], over: Axis): Columns {
  const [places, training, validation, left] = columnsOf(metrics, over, ["loss", "validation_loss", "left"]);
  const losses: Columns = [places, training, smoothed(training), validation];
  return left.some((value) => value !== null) ? [...losses, left] : losses;
}

function Spikes({ metrics }: { metrics: Metric[] }) {
  const spikes = metrics.filter((line) => line.spike !== undefined);
  if (!spikes.length) return null;
  const steps = spikes.slice(-5).map((line) => line.step.toLocaleString("en"));
  return <span class="quiet">{`${spikes.length} spike${spikes.length > 1 ? "s" : ""}, last at step ${steps.join(", ")}`}</span>;
}
