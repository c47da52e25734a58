import { render } from "preact";
import { describe, expect, it, vi } from "vitest";
import { parseInline } from "../src/markdown/inline";
import { mathml } from "../src/markdown/katex";
import { Markdown } from "../src/markdown/view";

function htmlOf(text: string): string {
  const box = document.createElement("div");
  render(<Markdown text={text} />, box);
  return box.firstElementChild!.innerHTML;
}

describe("Markdown", () => {
  it.each([
    ["a *b* **c** ***d*** ~~e~~ `f*g*`", "<p>a <em>b</em> <strong>c</strong> <strong><em>d</em></strong> <del>e</del> <code>f*g*</code></p>"],
    ["snake_case_name and 2 * 3 * 4", "<p>snake_case_name and 2 * 3 * 4</p>"],
    ["# A\ntext\n## B", "<h3>A</h3><p>text</p><h4>B</h4>"],
    ["- a\n- b\n  - c\n- d", "<ul><li>a</li><li><p>b</p><ul><li>c</li></ul></li><li>d</li></ul>"],
    ["3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'],
    ["In\n1789. Then", "<p>In\n1789. Then</p>"],
    ["> a\n> b", "<blockquote><p>a\nb</p></blockquote>"],
    ["a  \nb\\\nc", "<p>a<br>b<br>c</p>"],
    ["***", "<hr>"],
    ["\\*a\\*", "<p>*a*</p>"],
  ])("reads %j", (text, html) => {
    expect(htmlOf(text)).toBe(html);
  });

  it("leaves code as it is, also while its end has not come", () => {
    for (const text of ["```py\na < *b*\n```", "```py\na < *b*"]) {
      const box = document.createElement("div");
      box.innerHTML = htmlOf(text);
      expect(box.querySelector("pre code")?.textContent).toBe("a < *b*");
    }
  });

  it("reads tables, short rows too", () => {
    const box = document.createElement("div");
    box.innerHTML = htmlOf("| a | b |\n|---|:-:|\n| 1 | x \\| y |\n| 2 |");
    expect([...box.querySelectorAll("td")].map((cell) => cell.textContent)).toEqual(["1", "x | y", "2", ""]);
  });

  it("finds maths, and leaves prices alone", () => {
    const kinds = (text: string) => parseInline(text).map((node) => (node.kind === "maths" ? `${node.display ? "D" : "M"}:${node.text}` : node.kind));
    expect(kinds("a $x^2$ b")).toEqual(["text", "M:x^2", "text"]);
    expect(kinds("\\(y\\) and \\[z\\]")).toEqual(["M:y", "text", "D:z"]);
    expect(kinds("$$w$$")).toEqual(["D:w"]);
    expect(kinds("it cost $5 and $6")).toEqual(["text"]);
    expect(kinds("`$x$`")).toEqual(["code"]);
  });
});

const HOSTILE = [
  "<img src=x onerror=alert(1)>",
  "<script>alert(1)</script></script>",
  "<svg onload=alert(1)><style>*{display:none}</style>",
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1)) [y](data:text/html,<script>alert(1)</script>)",
  "[x](\u0001javascript:alert(1)) <javascript:alert(1)>",
  '[x](https://a.example/" onclick="alert(1))',
  "![x](https://evil.example/pixel.png)",
  "| <img src=x onerror=alert(1)> |\n|---|\n| <b onclick=alert(1)>x |",
  "# <iframe src=javascript:alert(1)>",
  "```<img src=x onerror=alert(1)>\n</code></pre><script>alert(1)</script>\n```",
];

describe("hostile Markdown", () => {
  it.each(HOSTILE)("makes words of %j", (text) => {
    const box = document.createElement("div");
    render(<Markdown text={text} />, box);
    expect(box.querySelector("img, script, svg, style, iframe, b")).toBeNull();
    for (const each of box.querySelectorAll("*")) {
      for (const { name, value } of each.attributes) {
        expect(name).not.toMatch(/^on|^src|^style$/);
        if (name === "href") expect(value).toMatch(/^(https?:\/\/|mailto:)/);
      }
    }
  });

  it.each([
    ["*a ", 4000],
    ["[", 8000],
    ["`a``", 4000],
    ["> ", 3000],
    ["- ", 3000],
    ["$", 9000],
    ["_*", 5000],
  ])("%j many times is read in time that grows with its square at most", (part, times) => {
    const took = (length: number) => {
      const began = performance.now();
      htmlOf(part.repeat(length));
      return performance.now() - began;
    };
    took(times / 10);
    const quarter = took(times / 4);
    expect(took(times)).toBeLessThan(40 * quarter + 500); // 16 is a square, 64 a cube; the rest is noise
  });
});

describe("maths", () => {
  it("is MathML without styles or the source in it", () => {
    const html = mathml("\\frac{a}{b}", false);
    expect(html).toContain("<mfrac>");
    expect(html).not.toMatch(/style=|annotation|\\frac/);
  });

  it.each([
    "\\href{javascript:alert(1)}{x}",
    "\\url{javascript:alert(1)}",
    "\\includegraphics{https://evil.example/x.png}",
    "\\htmlStyle{background:url(https://evil.example)}{x}",
    "\\htmlData{a=b}{x}",
    "\\text{<img src=x onerror=alert(1)>}",
    "\\unknown{<script>alert(1)</script>}",
    "x</math><img src=x onerror=alert(1)>",
  ])("makes nothing that acts of %j", (text) => {
    const box = document.createElement("div");
    box.innerHTML = mathml(text, true);
    expect(box.querySelector("a, img, script, image, mglyph, [href], [src], [style], [data-a]")).toBeNull();
    expect(box.innerHTML).not.toMatch(/ on\w+=/);
  });

  it("ends a macro bomb, and forgets macros between formulas", () => {
    expect(mathml("\\def\\a{\\a\\a}\\a", false)).toContain("Too many expansions");
    mathml("\\gdef\\b{b}\\b", false);
    expect(mathml("x".repeat(100_000), false)).toBe("x".repeat(100_000)); // unread
    expect(mathml("\\b", false)).toContain("<mtext>\\b</mtext>");
  });

  it("keeps sizes within the page", () => {
    expect(mathml("\\rule{9999em}{9999em}", false)).not.toMatch(/9999/);
  });

  it("is shown as its source, then drawn", async () => {
    const box = document.createElement("div");
    render(<Markdown text="$x^2$" />, box);
    expect(box.querySelector("code.maths")?.textContent).toBe("x^2");
    await vi.waitFor(() => expect(box.querySelector("math msup")).not.toBeNull(), 5000);
  });
});
