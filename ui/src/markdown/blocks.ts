/** Markdown's blocks, as a tree of plain values: the part of CommonMark and GitHub's tables that models write. */

import { type Inline, parseInline } from "./inline";

export type Block =
  | { kind: "paragraph"; children: Inline[] }
  | { kind: "heading"; level: number; children: Inline[] }
  | { kind: "code"; language: string; text: string }
  | { kind: "maths"; text: string }
  | { kind: "quote"; children: Block[] }
  | { kind: "list"; ordered: boolean; start: number; items: Block[][] }
  | { kind: "table"; head: Inline[][]; rows: Inline[][][] }
  | { kind: "rule" };

type Reader = (lines: string[], at: number, depth: number) => { next: number; block: Block } | null;

const READERS: Reader[] = [readFence, readMaths, readHeading, readRule, readQuote, readList, readTable];
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])( +|$)/;
const DEEPEST = 12;

export function parseBlocks(text: string): Block[] {
  return readBlocks(text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").split("\n"), 0);
}

function readBlocks(lines: string[], depth: number): Block[] {
  const blocks: Block[] = [];
  let paragraph: string[] = [];
  const close = () => {
    if (paragraph.length) blocks.push({ kind: "paragraph", children: parseInline(paragraph.join("\n").trim()) });
    paragraph = [];
  };
  for (let at = 0; at < lines.length; ) {
    const found = depth < DEEPEST ? firstRead(lines, at, depth, paragraph.length > 0) : null;
    if (found) {
      close();
      blocks.push(found.block);
      at = found.next;
      continue;
    }
    if (lines[at].trim()) paragraph.push(lines[at].trimStart());
    else close();
    at++;
  }
  close();
  return blocks;
}

function firstRead(lines: string[], at: number, depth: number, inParagraph: boolean) {
  for (const read of READERS) {
    // A number inside a paragraph begins a list only if it is 1, so that years at a line's start stay text.
    if (inParagraph && read === readList && !/^ {0,3}(?:[-*+]|1[.)]) +\S/.test(lines[at])) continue;
    const found = read(lines, at, depth);
    if (found) return found;
  }
  return null;
}

function readFence(lines: string[], at: number): { next: number; block: Block } | null {
  const open = /^( {0,3})(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/.exec(lines[at]);
  if (!open) return null;
  const close = new RegExp(`^ {0,3}\\${open[2][0]}{${open[2].length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !close.test(lines[end])) end++;
  const inner = lines.slice(at + 1, end).map((line) => line.replace(new RegExp(`^ {0,${open[1].length}}`), ""));
  return { next: end + 1, block: { kind: "code", language: open[3], text: inner.join("\n") } };
}

/** Maths by itself, over several lines perhaps. */
function readMaths(lines: string[], at: number): { next: number; block: Block } | null {
  const line = lines[at].trim();
  const close = line.startsWith("$$") ? "$$" : line.startsWith("\\[") ? "\\]" : null;
  if (!close) return null;
  const whole = lines.slice(at).join("\n").trimStart().slice(2);
  const end = whole.indexOf(close);
  if (end < 0 || !whole.slice(0, end).trim() || /\n\s*\n/.test(whole.slice(0, end))) return null;
  const used = whole.slice(0, end).split("\n").length;
  if (whole.slice(end + 2).split("\n")[0].trim()) return null;
  return { next: at + used, block: { kind: "maths", text: whole.slice(0, end).trim() } };
}

function readHeading(lines: string[], at: number): { next: number; block: Block } | null {
  const found = /^ {0,3}(#{1,6})(?:\s+(.*?))?(?:\s+#+)?\s*$/.exec(lines[at]);
  return found && { next: at + 1, block: { kind: "heading", level: found[1].length, children: parseInline(found[2] ?? "") } };
}

function readRule(lines: string[], at: number): { next: number; block: Block } | null {
  return /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/.test(lines[at]) ? { next: at + 1, block: { kind: "rule" } } : null;
}

function readQuote(lines: string[], at: number, depth: number): { next: number; block: Block } | null {
  if (!/^ {0,3}>/.test(lines[at])) return null;
  let end = at;
  while (end < lines.length && /^ {0,3}>/.test(lines[end])) end++;
  const inner = lines.slice(at, end).map((line) => line.replace(/^ {0,3}> ?/, ""));
  return { next: end, block: { kind: "quote", children: readBlocks(inner, depth + 1) } };
}

function readList(lines: string[], at: number, depth: number): { next: number; block: Block } | null {
  const first = ITEM.exec(lines[at]);
  if (!first) return null;
  const ordered = /\d/.test(first[2]);
  const items: Block[][] = [];
  let next = at;
  for (;;) {
    const open = next < lines.length ? ITEM.exec(lines[next]) : null;
    if (!open || /\d/.test(open[2]) !== ordered) break;
    const end = endOfItem(lines, next, open[0].length);
    const inner = lines.slice(next, end).map((line, place) => (place ? unindented(line, open[0].length) : line.slice(open[0].length)));
    items.push(readBlocks(inner, depth + 1));
    next = end;
  }
  return { next, block: { kind: "list", ordered, start: ordered ? Number.parseInt(first[2], 10) : 1, items } };
}

/** The line after an item that begins at `at`: where a line is not indented under it and begins something else. */
function endOfItem(lines: string[], at: number, indent: number): number {
  let end = at + 1;
  for (; end < lines.length; end++) {
    const line = lines[end];
    const inside = /^ */.exec(line)![0].length >= Math.min(indent, 2);
    if (line.trim() === "") {
      const following = lines.slice(end).find((each) => each.trim() !== "");
      if (following === undefined || !(/^ {2,}\S/.test(following) || ITEM.test(following))) return end;
    } else if (!inside && (ITEM.test(line) || lines[end - 1].trim() === "" || /^ {0,3}(?:#{1,6} |```|~~~|>)/.test(line))) {
      return end;
    }
  }
  return end;
}

function unindented(line: string, indent: number): string {
  return line.slice(Math.min(/^ */.exec(line)![0].length, indent));
}

function readTable(lines: string[], at: number): { next: number; block: Block } | null {
  const rule = lines[at + 1];
  if (!lines[at].includes("|") || !rule || !/^ {0,3}\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(rule)) return null;
  const head = cells(lines[at]);
  if (cells(rule).length !== head.length) return null;
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|") && lines[end].trim()) end++;
  const rows = lines.slice(at + 2, end).map((line) => {
    const found = cells(line);
    return head.map((_, column) => parseInline(found[column] ?? ""));
  });
  return { next: end, block: { kind: "table", head: head.map((cell) => parseInline(cell)), rows } };
}

function cells(line: string): string[] {
  return line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}
