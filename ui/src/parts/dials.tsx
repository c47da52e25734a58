/** The settings as sliders with a number beside each, which takes values that the slider's ends leave out. */

import type { Signal } from "@preact/signals";
import { useId } from "preact/hooks";
import { DEFAULTS, type Dial, DIALS, type Settings } from "../api/settings";

export function Dials({ settings, names, onMove }: { settings: Signal<Settings>; names?: Dial["name"][]; onMove?: () => void }) {
  const set = (part: Partial<Settings>) => {
    settings.value = { ...settings.value, ...part };
    onMove?.();
  };
  const dials = names ? DIALS.filter((dial) => names.includes(dial.name)) : DIALS;
  return (
    <div class="dials">
      {dials.map((dial) => (
        <DialField key={dial.name} dial={dial} value={settings.value[dial.name]} set={(value) => set({ [dial.name]: value })} />
      ))}
    </div>
  );
}

function DialField({ dial, value, set }: { dial: Dial; value: number; set: (value: number) => void }) {
  const id = useId();
  const take = (event: Event) => {
    const typed = (event.currentTarget as HTMLInputElement).valueAsNumber;
    if (Number.isFinite(typed) && typed >= dial.least) set(typed);
  };
  return (
    <div class={value === dial.off ? "dial off" : "dial"}>
      <label for={id}>{dial.label}</label>
      <input
        type="number"
        aria-label={`${dial.label}, as a number`}
        min={dial.least}
        max={dial.off === dial.most ? dial.most : undefined}
        step="any"
        value={value}
        onChange={take}
      />
      <input
        id={id}
        type="range"
        min={dial.least}
        max={dial.most}
        step={dial.step}
        value={Math.min(value, dial.most)}
        aria-describedby={`${id}-hint`}
        onInput={take}
      />
      <p id={`${id}-hint`} class="hint">{dial.hint}</p>
    </div>
  );
}

export function SeedField({ settings }: { settings: Signal<Settings> }) {
  const take = (event: Event) => {
    const typed = (event.currentTarget as HTMLInputElement).valueAsNumber;
    settings.value = { ...settings.value, seed: Number.isSafeInteger(typed) ? typed : null };
  };
  return (
    <label class="field">
      <span>Seed</span>
      <input type="number" step="1" placeholder="new each time" value={settings.value.seed ?? ""} onChange={take} />
    </label>
  );
}

export function StopField({ settings }: { settings: Signal<Settings> }) {
  const take = (event: Event) => {
    const lines = (event.currentTarget as HTMLTextAreaElement).value.split("\n").filter((line) => line !== "");
    settings.value = { ...settings.value, stop: lines.map((line) => line.replaceAll("\\n", "\n")) };
  };
  const shown = settings.value.stop.map((text) => text.replaceAll("\n", "\\n")).join("\n");
  return (
    <label class="field">
      <span>
        Stop before <span class="quiet">(one a line; \n is a line break)</span>
      </span>
      <textarea rows={2} spellcheck={false} value={shown} onChange={take} />
    </label>
  );
}

export function ResetButton({ settings }: { settings: Signal<Settings> }) {
  return (
    <button type="button" class="plain" onClick={() => (settings.value = DEFAULTS)}>
      Reset settings
    </button>
  );
}
