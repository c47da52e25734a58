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
  return sanitised(html);
}

/** `annotation` repeats the source for readers that want it; it may hold anything, so it goes with what is in it. */
function sanitised(html: string): string {
  return DOMPurify.sanitize(html, {
    USE_PROFILES: { mathMl: true },
    ADD_TAGS: ["span", "semantics"],
    ALLOWED_ATTR: ["class", "display", "xmlns", "mathvariant", "stretchy", "fence", "separator", "lspace", "rspace", "minsize",
      "maxsize", "movablelimits", "accent", "accentunder", "linethickness", "scriptlevel", "displaystyle", "columnalign",
      "columnspacing", "rowspacing", "columnlines", "rowlines", "width", "height", "depth", "voffset", "mathcolor",
      "mathbackground", "notation", "title", "form", "largeop", "symmetric", "mathsize"],
    FORBID_TAGS: ["annotation", "annotation-xml", "a", "maction", "mglyph", "style"],
    FORBID_CONTENTS: ["annotation", "annotation-xml"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
  });
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
