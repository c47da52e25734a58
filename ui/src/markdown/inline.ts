/** Markdown inside a line, as a tree of plain values. Raw HTML is text here, so no text can become markup. */

export type Inline =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "maths"; text: string; display: boolean }
  | { kind: "strong" | "emphasis" | "struck"; children: Inline[] }
  | { kind: "link"; href: string; children: Inline[] }
  | { kind: "break" };

interface Found {
  length: number;
  node: Inline;
}

type Rule = (text: string, depth: number, before: string) => Found | null;

const DEEPEST = 12;
/** Beyond this a paragraph stays plain: looking for pairs in it would take longer than anybody waits. */
const LONGEST = 20_000;
const LETTER = /[\p{L}\p{N}_]/u;

const RULES: Record<string, Rule[]> = {
  "\\": [maths("\\(", "\\)", false), maths("\\[", "\\]", true), hardBreak, escaped],
  $: [maths("$$", "$$", true), dollar],
  "`": [code],
  "*": [marked("**", "strong"), marked("*", "emphasis")],
  _: [marked("__", "strong"), marked("_", "emphasis")],
  "~": [marked("~~", "struck")],
  "[": [link],
  "!": [image],
  "<": [angle],
  h: [bare],
  " ": [spacedBreak],
};

export function parseInline(text: string, depth = 0): Inline[] {
  if (text.length > LONGEST) return [{ kind: "text", text }];
  const nodes: Inline[] = [];
  let plain = "";
  let at = 0;
  while (at < text.length) {
    const rules = depth < DEEPEST ? RULES[text[at]] : undefined;
    const found = rules && firstFound(rules, text.slice(at), depth, text[at - 1] ?? "");
    if (!found) {
      plain += text[at++];
      continue;
    }
    if (plain) nodes.push({ kind: "text", text: plain });
    plain = "";
    nodes.push(found.node);
    at += found.length;
  }
  if (plain) nodes.push({ kind: "text", text: plain });
  return nodes;
}

function firstFound(rules: Rule[], text: string, depth: number, before: string): Found | null {
  for (const rule of rules) {
    const found = rule(text, depth, before);
    if (found) return found;
  }
  return null;
}

function maths(open: string, close: string, display: boolean): Rule {
  return (text) => {
    const end = text.startsWith(open) ? text.indexOf(close, open.length) : -1;
    const inner = end < 0 ? "" : text.slice(open.length, end);
    return inner.trim() ? { length: end + close.length, node: { kind: "maths", text: inner, display } } : null;
  };
}

/** Pandoc's rule, so that prices stay prices: no space inside the dollars, no digit after the second. */
function dollar(text: string): Found | null {
  const found = /^\$(?![\s$])((?:\\.|[^\\$\n])*?)(?<!\s)\$(?!\d)/.exec(text);
  return found?.[1] ? { length: found[0].length, node: { kind: "maths", text: found[1], display: false } } : null;
}

function code(text: string): Found | null {
  const fence = /^`+/.exec(text)![0];
  let end = fence.length;
  for (;;) {
    end = text.indexOf(fence, end);
    if (end < 0) return null;
    const run = /^`+/.exec(text.slice(end))![0].length;
    if (run === fence.length) break;
    end += run;
  }
  const inner = text.slice(fence.length, end).replace(/\n/g, " ");
  const padded = /^ .*[^ ].* $/.test(inner) || /^ [^ ] $/.test(inner);
  return { length: end + fence.length, node: { kind: "code", text: padded ? inner.slice(1, -1) : inner } };
}

function marked(sign: string, kind: "strong" | "emphasis" | "struck"): Rule {
  return (text, depth, before) => {
    if (!text.startsWith(sign) || !/\S/.test(text[sign.length] ?? " ")) return null;
    if (sign[0] === "_" && LETTER.test(before)) return null;
    const end = closing(text, sign);
    if (end < 0) return null;
    return { length: end + sign.length, node: { kind, children: parseInline(text.slice(sign.length, end), depth + 1) } };
  };
}

/** Where the sign closes: not after a space, not inside code, and for underscores not inside a word. */
function closing(text: string, sign: string): number {
  for (let at = sign.length + 1; at <= text.length - sign.length; at++) {
    if (text[at] === "`") {
      const skipped = code(text.slice(at));
      if (skipped) at += skipped.length - 1;
      continue;
    }
    if (!text.startsWith(sign, at) || /[\s\\]/.test(text[at - 1])) continue;
    // A longer run closes with its last signs, so that ***x*** nests.
    if (text[at + sign.length] === sign[0]) {
      if (sign.length === 1) at++;
      else if (text[at + sign.length + 1] !== sign[0]) return at + 1;
      continue;
    }
    if (sign[0] === "_" && LETTER.test(text[at + sign.length] ?? "")) continue;
    return at;
  }
  return -1;
}

function link(text: string, depth: number): Found | null {
  const found = /^\[((?:\\.|[^\\\]\[]|\[[^\]]*\])*)\]\(\s*<?([^\s<>()]*(?:\([^\s()]*\)[^\s<>()]*)*)>?(?:\s+"[^"]*")?\s*\)/.exec(text);
  if (!found) return null;
  return { length: found[0].length, node: linkTo(found[2], parseInline(found[1], depth + 1)) };
}

/** Pictures would be fetched from elsewhere, and nothing here asks another host: their words, as a link. */
function image(text: string, depth: number): Found | null {
  const found = text[1] === "[" ? link(text.slice(1), depth) : null;
  return found && { ...found, length: found.length + 1 };
}

function angle(text: string): Found | null {
  const found = /^<(https?:\/\/[^\s<>]+)>/.exec(text);
  return found && { length: found[0].length, node: linkTo(found[1], [{ kind: "text", text: found[1] }]) };
}

function bare(text: string, _depth: number, before: string): Found | null {
  if (LETTER.test(before)) return null;
  const found = /^https?:\/\/[^\s<>]*[^\s<>.,;:!?'")\]*_]/.exec(text);
  return found && { length: found[0].length, node: linkTo(found[0], [{ kind: "text", text: found[0] }]) };
}

function linkTo(href: string, children: Inline[]): Inline {
  // Only these: javascript:, data: and whatever comes next stay words.
  return /^(?:https?:\/\/|mailto:)/i.test(href) ? { kind: "link", href, children } : { kind: "emphasis", children };
}

function hardBreak(text: string): Found | null {
  return text[1] === "\n" ? { length: 2, node: { kind: "break" } } : null;
}

function spacedBreak(text: string): Found | null {
  const found = /^ {2,}\n/.exec(text);
  return found && { length: found[0].length, node: { kind: "break" } };
}

function escaped(text: string): Found | null {
  return /^\\[!-/:-@[-`{-~]/.test(text) ? { length: 2, node: { kind: "text", text: text[1] } } : null;
}
