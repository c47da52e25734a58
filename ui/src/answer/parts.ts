/** A passage cut where a quotation begins and ends. Pure. */

import type { Source, Span } from "../api/answers";

/** Before, in and after the quotation. Offsets count characters of the document, and JavaScript counts half of some. */
export function cutAt(source: Source, quote: Span | null): [string, string, string] {
  const characters = Array.from(source.text);
  const start = quote ? Math.max(0, quote.start - source.start) : characters.length;
  const end = quote ? Math.max(start, quote.end - source.start) : characters.length;
  const piece = (first: number, last?: number) => characters.slice(first, last).join("");
  return [piece(0, start), piece(start, end), piece(end)];
}
