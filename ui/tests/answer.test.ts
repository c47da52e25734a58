import { describe, expect, it } from "vitest";
import type { Source } from "../src/api/answers";
import { cutAt } from "../src/answer/parts";

const source = (text: string, start: number): Source => ({
  number: 1, id: "d:1", document: "d", title: "", url: "", date: "", start, end: start + Array.from(text).length, sha256: "", text,
});

describe("a passage", () => {
  it("is cut where the document's offsets say", () => {
    expect(cutAt(source("One. Two. Three.", 100), { start: 105, end: 109 })).toEqual(["One. ", "Two.", " Three."]);
  });

  it("counts characters as the server does, not halves of them", () => {
    expect(cutAt(source("🙂🙂 naïve 日本.", 7), { start: 10, end: 15 })).toEqual(["🙂🙂 ", "naïve", " 日本."]);
  });

  it("is whole without a quotation, and where one lies outside", () => {
    expect(cutAt(source("One.", 5), null)).toEqual(["One.", "", ""]);
    expect(cutAt(source("One.", 5), { start: 0, end: 2 })).toEqual(["", "", "One."]);
    expect(cutAt(source("One.", 5), { start: 90, end: 99 })).toEqual(["One.", "", ""]);
  });
});
