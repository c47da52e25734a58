import { describe, expect, it } from "vitest";
import { EventParser, readEvents } from "../src/api/events";
import { Failure } from "../src/api/failure";

const STREAM = ': ping\r\n\r\ndata: {"a":1}\n\nevent: x\ndata: one\ndata: two\n\ndata:{"b":"ü"}\r\n\r\ndata: [DONE]\n\n';

function responseOf(parts: (string | Uint8Array)[]): Response {
  const encoder = new TextEncoder();
  return new Response(
    new ReadableStream({
      start(controller) {
        for (const part of parts) controller.enqueue(typeof part === "string" ? encoder.encode(part) : part);
        controller.close();
      },
    }),
  );
}

async function all(response: Response): Promise<unknown[]> {
  const found = [];
  for await (const event of readEvents(response)) found.push(event);
  return found;
}

describe("EventParser", () => {
  it("gives the same events wherever the text is cut", () => {
    const whole = new EventParser().feed(STREAM);
    expect(whole).toEqual(['{"a":1}', "one\ntwo", '{"b":"ü"}', "[DONE]"]);
    for (let size = 1; size < STREAM.length; size++) {
      const parser = new EventParser();
      const found: string[] = [];
      for (let at = 0; at < STREAM.length; at += size) found.push(...parser.feed(STREAM.slice(at, at + size)));
      expect(found).toEqual(whole);
    }
  });
});

describe("readEvents", () => {
  it("puts a character together that two chunks share", async () => {
    const bytes = new TextEncoder().encode('data: "ü"\n\ndata: [DONE]\n\n');
    const cut = bytes.indexOf(0xc3) + 1;
    expect(await all(responseOf([bytes.slice(0, cut), bytes.slice(cut)]))).toEqual(["ü"]);
  });

  it("throws the server's own error after what came before it", async () => {
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const event of readEvents(responseOf(['data: 1\n\ndata: {"error":{"message":"out of pages"}}\n\n']))) seen.push(event);
    })();
    await expect(reading).rejects.toMatchObject({ kind: "stream", message: "out of pages" });
    expect(seen).toEqual([1]);
  });

  it("takes an end without [DONE] for a lost connection", async () => {
    await expect(all(responseOf(["data: 1\n\n"]))).rejects.toMatchObject({ kind: "network" });
  });

  it("names an event that is not JSON", async () => {
    await expect(all(responseOf(["data: <html>\n\n"]))).rejects.toBeInstanceOf(Failure);
  });
});
