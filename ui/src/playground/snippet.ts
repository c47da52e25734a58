/** The request of the playground as a line of curl and as a Python program, with the key left to the environment. */

import { samplingFields, type Settings } from "../api/settings";

/** The API's own fields, which the openai client takes by name; all others go in extra_body. */
const STANDARD = ["model", "prompt", "temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens", "seed", "stop"];

export function bodyOf(model: string, prompt: string, settings: Settings, seed: number | null): Record<string, unknown> {
  const body: Record<string, unknown> = { model, prompt, ...samplingFields(settings), max_tokens: settings.maxTokens };
  if (seed !== null) body.seed = seed;
  if (settings.stop.length) body.stop = settings.stop;
  return body;
}

export function asCurl(body: Record<string, unknown>, base: string, keyed: boolean): string {
  const lines = [
    `curl ${shellQuoted(`${base}/completions`)}`,
    "-H 'Content-Type: application/json'",
    ...(keyed ? ['-H "Authorization: Bearer $GENUS_KEY"'] : []),
    `-d ${shellQuoted(JSON.stringify(body))}`,
  ];
  return lines.join(" \\\n  ");
}

export function asPython(body: Record<string, unknown>, base: string, keyed: boolean): string {
  const entries = Object.entries(body);
  const own = entries.filter(([name]) => STANDARD.includes(name));
  const extra = entries.filter(([name]) => !STANDARD.includes(name));
  const key = keyed ? 'os.environ["GENUS_KEY"]' : '"none"';
  return [
    ...(keyed ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${pythonLiteral(base)}, api_key=${key})`,
    "completion = client.completions.create(",
    ...own.map(([name, value]) => `    ${name}=${pythonLiteral(value)},`),
    ...(extra.length ? [`    extra_body={${extra.map(([name, value]) => `"${name}": ${pythonLiteral(value)}`).join(", ")}},`] : []),
    ")",
    "print(completion.choices[0].text)",
    "",
  ].join("\n");
}

export function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** JSON's strings, numbers and lists are Python's too; a lone surrogate, which JSON escapes, is in both. */
function pythonLiteral(value: unknown): string {
  return JSON.stringify(value);
}
