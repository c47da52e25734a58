/** Signals that outlive the page, in this browser's local storage and nowhere else. */

import { effect, signal, type Signal } from "@preact/signals";

export function kept<T>(name: string, initial: T): Signal<T> {
  const key = `genus.${name}`;
  const value = signal<T>(read(key, initial));
  effect(() => {
    const text = JSON.stringify(value.value);
    try {
      localStorage.setItem(key, text);
    } catch {
      // Full or forbidden: the page works on, and forgets when it is closed.
    }
  });
  return value;
}

/** Fields that a later version of the pages added keep their initial value. */
function read<T>(key: string, initial: T): T {
  try {
    const text = localStorage.getItem(key);
    if (text === null) return initial;
    const found = JSON.parse(text);
    if (typeof found !== typeof initial || Array.isArray(found) !== Array.isArray(initial)) return initial;
    const plain = typeof initial === "object" && initial !== null && !Array.isArray(initial);
    return plain ? { ...initial, ...found } : found;
  } catch {
    return initial;
  }
}
