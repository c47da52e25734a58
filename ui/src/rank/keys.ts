/** What a key means on the ranking page. Pure. */

export type Action =
  | { do: "rank"; rank: number | null }
  | { do: "move"; by: -1 | 1 }
  | { do: "answer"; by: -1 | 1 }
  | { do: "overall"; value: number }
  | { do: "task"; by: -1 | 1 }
  | { do: "flags" | "comment" | "skip" | "submit" | "leave" };

export interface Key {
  key: string;
  code: string;
  shiftKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

/** Where the focus is: in a text, on something that Enter and the arrows are for already, or on an answer. */
export type Spot = "text" | "choice" | "button" | "answer";

const LETTERS: Record<string, Action> = {
  f: { do: "flags" },
  c: { do: "comment" },
  s: { do: "skip" },
  n: { do: "task", by: 1 },
  p: { do: "task", by: -1 },
};

const MOVES: Record<string, Action> = {
  ArrowUp: { do: "move", by: -1 },
  ArrowDown: { do: "move", by: 1 },
  ArrowLeft: { do: "answer", by: -1 },
  ArrowRight: { do: "answer", by: 1 },
};

export function meaningOf(key: Key, spot: Spot, answers: number): Action | null {
  if (key.key === "Enter" && (key.ctrlKey || key.metaKey)) return { do: "submit" };
  if (key.key === "Escape" && spot !== "answer") return { do: "leave" };
  if (spot === "text" || key.ctrlKey || key.metaKey || key.altKey) return null;
  // With Shift the key's sign differs between keyboards; its place does not.
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(key.code)?.[1] ?? (/^\d$/.test(key.key) ? key.key : undefined);
  if (digit !== undefined) return digitMeans(Number(digit), key.shiftKey, answers);
  if (key.key === "Backspace" || key.key === "Delete") return { do: "rank", rank: null };
  if (key.key === "Enter") return spot === "button" ? null : { do: "submit" };
  if (spot !== "choice" && Object.hasOwn(MOVES, key.key)) return MOVES[key.key];
  const letter = key.key.toLowerCase();
  return Object.hasOwn(LETTERS, letter) ? LETTERS[letter] : null;
}

function digitMeans(digit: number, shift: boolean, answers: number): Action | null {
  if (shift) return digit >= 1 && digit <= 7 ? { do: "overall", value: digit } : null;
  if (digit === 0) return { do: "rank", rank: null };
  return digit <= answers ? { do: "rank", rank: digit } : null;
}
