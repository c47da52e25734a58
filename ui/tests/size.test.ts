// @vitest-environment node
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import { build } from "vite";

const MOST = 60_000;
const LABELLERS = 7_000; // the page of `genus rank`, which is loaded when it is opened
const out = mkdtempSync(join(tmpdir(), "genus-pages-"));
const files: { name: string; text: string; size: number }[] = [];

beforeAll(async () => {
  process.env.NODE_ENV = "production";
  await build({ logLevel: "silent", build: { outDir: out } });
  for (const name of readdirSync(join(out, "assets"))) {
    const content = readFileSync(join(out, "assets", name));
    files.push({ name, text: content.toString("utf8"), size: gzipSync(content, { level: 9 }).length });
  }
}, 120_000);

afterAll(() => rmSync(out, { recursive: true }));

it("all programs but KaTeX's and the labellers' page are under 60 kB compressed", () => {
  const programs = files.filter((file) => file.name.endsWith(".js"));
  const sizes = programs.map(({ name, size }) => `${name} ${size}`);
  const [labellers, ...none] = programs.filter((file) => file.text.includes("rank.unsaved"));
  expect(none).toEqual([]);
  expect(labellers.name).not.toMatch(/^index/);
  expect(labellers.size).toBeLessThan(LABELLERS);
  const others = programs.filter((file) => !file.name.startsWith("katex") && file !== labellers);
  const sum = others.reduce((total, file) => total + file.size, 0);
  console.log(`${sizes.join(", ")}; before KaTeX ${sum}`);
  expect(programs.some((file) => file.name.startsWith("katex"))).toBe(true);
  expect(sum).toBeLessThan(MOST);
});

it("the page holds nothing that the content policy forbids", () => {
  const page = readFileSync(join(out, "index.html"), "utf8");
  expect(page).not.toMatch(/<style|style=|<script(?![^>]* src=)| on\w+=|data:/);
  for (const [, address] of page.matchAll(/(?:src|href)="([^"]*)"/g)) expect(address).toMatch(/^\.\/assets\/[\w.-]+-[\w-]{8}\.\w+$/);
});

it("nothing names another host", () => {
  for (const { name, text } of files.filter((file) => file.name.endsWith(".css"))) {
    expect(text, name).not.toMatch(/url\((?!["']?\.)|@import/);
  }
});
