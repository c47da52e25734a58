/** Server-sent events as the OpenAI API uses them: data lines of JSON, an error in place of one, [DONE] at the end. */

import { asFailure, Failure, wasStopped } from "./failure";

/** Cuts text that arrives anyhow into the data of whole events. Comments and other fields are left out. */
export class EventParser {
  private rest = "";
  private data: string[] = [];

  feed(text: string): string[] {
    this.rest += text;
    const whole: string[] = [];
    for (;;) {
      const found = /\r\n|\n|\r/.exec(this.rest);
      // A carriage return that ends the chunk may be the first half of \r\n.
      if (!found || (found[0] === "\r" && found.index === this.rest.length - 1)) return whole;
      this.take(this.rest.slice(0, found.index), whole);
      this.rest = this.rest.slice(found.index + found[0].length);
    }
  }

  private take(line: string, whole: string[]): void {
    if (line === "") {
      if (this.data.length) whole.push(this.data.join("\n"));
      this.data = [];
    } else if (line.startsWith("data:")) {
      this.data.push(line.slice(line[5] === " " ? 6 : 5));
    }
  }
}

/** The JSON of each event. A stream that ends without [DONE] was cut, and throws as a lost connection does. */
export async function* readEvents<T>(response: Response): AsyncGenerator<T> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new TypeError("ended early");
      for (const data of parser.feed(value)) {
        if (data === "[DONE]") return;
        yield readEvent<T>(data);
      }
    }
  } catch (error) {
    throw wasStopped(error) ? error : asFailure(error);
  } finally {
    // Closing the connection is what tells the server to stop working on it.
    reader.cancel().catch(() => undefined);
  }
}

function readEvent<T>(data: string): T {
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    throw new Failure("stream", "The server sent an event that is not JSON.");
  }
  if (event?.error) throw new Failure("stream", String(event.error.message ?? "The server sent an error without a word."));
  return event as T;
}
