/** The text of each token, where one character's bytes may be spread over several. */

const ESCAPED = /^bytes:((?:\\x[0-9a-fA-F]{2})+)$/;

export function bytesOf(name: string): Uint8Array {
  const found = ESCAPED.exec(name);
  if (!found) return new TextEncoder().encode(name);
  return Uint8Array.from(found[1].split("\\x").slice(1), (pair) => Number.parseInt(pair, 16));
}

/** One string for each token; a character is with the token that completes it, so some are empty. Joined they are the text. */
export function spell(names: string[]): string[] {
  const decoder = new TextDecoder();
  return names.map((name, place) => decoder.decode(bytesOf(name), { stream: place < names.length - 1 }));
}

/** A token by itself for a list: spaces and line breaks made visible, bytes in hexadecimal. */
export function visible(name: string): string {
  const found = ESCAPED.exec(name);
  if (found) return found[1].split("\\x").slice(1).map((pair) => `‹${pair}›`).join("");
  if (name === "") return "(nothing)";
  return name.replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/\r/g, "␍").replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length));
}

/** The same for a screen reader, which would skip the signs. */
export function spoken(name: string): string {
  if (ESCAPED.test(name)) return `part of a character, ${name}`;
  if (name === "") return "no text";
  if (name.trim() === "") return name.includes("\n") ? "line break" : "space";
  return name.trim();
}
