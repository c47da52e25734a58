/** Maths, as its source until KaTeX is here: that is loaded with the first formula and never before. */

import { signal } from "@preact/signals";
import { useMemo } from "preact/hooks";

type Draw = (text: string, display: boolean) => string;

const draw = signal<Draw | null>(null);
let loading = false;

function load(): void {
  if (loading) return;
  loading = true;
  import("./katex").then(
    (file) => (draw.value = file.mathml),
    () => (loading = false),
  );
}

export function Maths({ text, display }: { text: string; display: boolean }) {
  const ready = draw.value;
  if (!ready) load();
  const html = useMemo(() => ready?.(text, display) ?? null, [ready, text, display]);
  const name = display ? "maths display" : "maths";
  if (html === null) return <code class={name}>{text}</code>;
  return <span class={name} dangerouslySetInnerHTML={{ __html: html }} />;
}
