import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { DEFAULTS } from "../src/api/settings";
import { asCurl, asPython, bodyOf, shellQuoted } from "../src/playground/snippet";

const PROMPT = "It's \"$HOME\" `id` \\ \n ü €";
const body = bodyOf("demo", PROMPT, { ...DEFAULTS, topK: 5, stop: ["\n"] }, 7);

describe("the copied request", () => {
  it("reaches a program's arguments unchanged through a shell", () => {
    const line = asCurl(body, "http://127.0.0.1:8000/v1", true).replace(/^curl/, "printf '%s\\0'");
    const said = execFileSync("sh", ["-c", line], { encoding: "utf8", env: { GENUS_KEY: "k" } }).split("\0");
    expect(said[0]).toBe("http://127.0.0.1:8000/v1/completions");
    expect(said).toContain("Authorization: Bearer k");
    expect(JSON.parse(said[said.indexOf("-d") + 1])).toEqual(body);
    expect(shellQuoted("a'b")).toBe("'a'\\''b'");
  });

  it("names the fields that are OpenAI's and puts the others in extra_body", () => {
    const program = asPython(body, "http://127.0.0.1:8000/v1", true);
    expect(program).toContain("    temperature=0.8,");
    expect(program).toContain('extra_body={"top_k": 5, "min_p": 0, "repetition_penalty": 1},');
    expect(program).toContain('api_key=os.environ["GENUS_KEY"]');
    expect(asPython(body, "x", false)).not.toContain("import os");
  });
});
