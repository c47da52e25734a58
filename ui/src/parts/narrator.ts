/** What screen readers are told while text streams: whole sentences now and then, never each token. */

import { signal } from "@preact/signals";

export const narration = signal("");

const PAUSE = 3000;
let waiting = "";
let last = 0;

export function announce(text: string): void {
  // The same words twice are no change to a live region; a space that nobody hears makes them one.
  narration.value = narration.value === text ? `${text}\u00a0` : text;
}

export function beginTelling(): void {
  waiting = "";
  last = Date.now();
  announce("Writing.");
}

export function tell(text: string): void {
  waiting += text;
  const end = Math.max(...[". ", "! ", "? ", "\n"].map((sign) => waiting.lastIndexOf(sign))) + 1;
  if (end === 0 || Date.now() - last < PAUSE) return;
  announce(waiting.slice(0, end));
  waiting = waiting.slice(end);
  last = Date.now();
}

export function endTelling(word: string): void {
  announce(`${waiting} ${word}`.trim());
  waiting = "";
}
