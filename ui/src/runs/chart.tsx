/** One chart of uPlot in the page's colours. The charts of a run move their cursors together. */

import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { short } from "../parts/figures";
import { theme } from "../parts/theme";
import type { Columns } from "./columns";

export interface Curve {
  label: string;
  colour: string;
  width?: number;
  points?: boolean;
  /** In dashes, and with a gap where it has no value. */
  broken?: boolean;
}

interface Props {
  title: string;
  unit: string;
  x: string;
  curves: Curve[];
  data: Columns;
  logarithmic: boolean;
  height: number;
}

export function Chart(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const { curves, data, logarithmic, height, x } = props;
  const dark = useDark();
  useEffect(() => {
    const home = box.current!;
    const made = new uPlot(optionsOf(home, props, setAt), data as uPlot.AlignedData, home);
    plot.current = made;
    const sized = new ResizeObserver(() => made.setSize({ width: home.clientWidth, height }));
    sized.observe(home);
    return () => {
      sized.disconnect();
      made.destroy();
    };
  }, [logarithmic, dark, x, height, curves.length]);
  useEffect(() => plot.current?.setData(data as uPlot.AlignedData), [data]);
  return (
    <figure class="chart">
      <figcaption>
        <h3>{props.title}</h3>
        <Readout {...props} at={at} />
      </figcaption>
      <div ref={box} role="img" aria-label={summary(props)} />
    </figure>
  );
}

/** The values under the cursor; the last ones where there is none. */
function Readout({ curves, data, at, x, unit }: Props & { at: number | null }) {
  const row = at ?? data[0].length - 1;
  return (
    <span class="readout figures">
      {curves.map((curve, place) => {
        const value = at === null ? lastKnown(data[place + 1]) : (data[place + 1][row] ?? null);
        return (
          <span key={curve.label}>
            <span class={`mark ${curve.colour}`} /> {curve.label} {value === null ? "–" : short(value)}
          </span>
        );
      })}
      <span class="quiet">
        {unit}
        {data[0].length > 0 && ` at ${x} ${data[0][row].toLocaleString("en")}`}
      </span>
    </span>
  );
}

function lastKnown(values: (number | null)[]): number | null {
  return values.findLast((value) => value !== null) ?? null;
}

function summary({ title, curves, data, x }: Props): string {
  const parts = curves.map((curve, place) => {
    const known = data[place + 1].filter((value) => value !== null);
    return known.length > 0 ? `${curve.label} from ${short(known[0]!)} to ${short(known.at(-1)!)}` : `${curve.label}: none yet`;
  });
  return `${title} over ${x}s: ${parts.join("; ")}`;
}

function optionsOf(box: HTMLElement, props: Props, look: (at: number | null) => void): uPlot.Options {
  const ink = colourOf(box, "--quiet");
  const grid = { stroke: colourOf(box, "--line"), width: 1 };
  const axis = { stroke: ink, grid, ticks: grid, font: "12px system-ui, sans-serif" };
  return {
    width: box.clientWidth,
    height: props.height,
    legend: { show: false },
    cursor: { sync: { key: "run" }, drag: { x: true, y: false }, points: { size: 6 } },
    scales: { x: { time: false }, y: { distr: props.logarithmic ? 3 : 1 } },
    axes: [
      { ...axis, values: (_, marks) => marks.map(brief) },
      { ...axis, size: 58, values: (_, marks) => marks.map((mark) => (mark === null ? "" : short(mark))) },
    ],
    series: [
      {},
      ...props.curves.map((curve) => ({
        label: curve.label,
        stroke: colourOf(box, `--${curve.colour}`),
        width: curve.width ?? 1.5,
        spanGaps: !curve.broken,
        dash: curve.broken ? [4, 4] : undefined,
        points: { show: curve.points ?? false, size: 5 },
      })),
    ],
    hooks: { setCursor: [(plot) => look(plot.cursor.idx ?? null)] },
  };
}

function brief(mark: number | null): string {
  if (mark === null) return "";
  return mark >= 1e9 ? `${mark / 1e9}B` : mark >= 1e6 ? `${mark / 1e6}M` : mark >= 1e4 ? `${mark / 1e3}k` : String(mark);
}

/** A canvas knows no variables: the browser works the colour out on an element first. */
function colourOf(box: HTMLElement, name: string): string {
  const probe = box.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function useDark(): boolean {
  const [system, setSystem] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const look = () => setSystem(query.matches);
    query.addEventListener("change", look);
    return () => query.removeEventListener("change", look);
  }, []);
  return theme.value === "auto" ? system : theme.value === "dark";
}
