/** LaTeX as MathML, which needs no fonts and no inline styles. The one place that makes HTML of a text: sanitised last. */

import DOMPurify from "dompurify";
import katex from "katex";

/** Sizes in em, and steps of macro expansion, beyond which a formula is an attack on the page. */
const LARGEST = 20;
const EXPANSIONS = 500;
const LONGEST = 5000;

export function mathml(text: string, display: boolean): string {
  if (text.length > LONGEST) return escaped(text);
  const html = katex.renderToString(text, {
    displayMode: display,
    output: "mathml",
    throwOnError: false,
    trust: false,
    strict: "ignore",
    maxSize: LARGEST,
    maxExpand: EXPANSIONS,
    // A fresh object, so that \gdef in one formula does not reach the next.
    macros: {},
  });
  // KaTeX escapes quotes in all that it is given, so only attributes of its own match. Left in, each would be reported
  // as a breach of the content policy while the sanitiser parses it.
  return sanitised(html.replace(/ style="[^"]*"/g, ""));
}

const ELEMENTS = ["math", "semantics", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup",
  "msubsup", "munder", "mover", "munderover", "mmultiscripts", "mprescripts", "none", "mtable", "mtr", "mlabeledtr", "mtd",
  "mstyle", "mpadded", "mphantom", "menclose", "merror", "span"];
const ATTRIBUTES = ["class", "display", "xmlns", "mathvariant", "stretchy", "fence", "separator", "lspace", "rspace", "minsize",
  "maxsize", "movablelimits", "accent", "accentunder", "linethickness", "scriptlevel", "displaystyle", "columnalign",
  "columnspacing", "rowspacing", "columnlines", "rowlines", "width", "height", "depth", "voffset", "mathcolor",
  "mathbackground", "notation", "title", "form", "largeop", "symmetric", "mathsize"];

/** `annotation` repeats the source for readers that want it; it may hold anything, so it goes with what is in it. */
function sanitised(html: string): string {
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: [...ELEMENTS, "#text"],
    ALLOWED_ATTR: ATTRIBUTES,
    ADD_FORBID_CONTENTS: ["annotation"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
  });
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
