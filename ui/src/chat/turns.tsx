/** The turns of a conversation; a question can be put again in other words. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Markdown } from "../markdown/view";
import { copy } from "../parts/copying";
import type { Turn } from "./conversation";
import { arriving, current, resend, writing } from "./state";

const CUTS = { stopped: "Stopped.", length: "Cut at the most tokens that the settings allow.", broken: "It broke off here." };

export function Turns() {
  const { turns, id } = current.value;
  const end = useRef<HTMLDivElement>(null);
  useFollowing(end);
  const waiting = arriving.value !== null;
  // While another answer is on its way, the old one stays until the first word of the new.
  const shown = arriving.value && turns.at(-1)?.role === "assistant" ? turns.slice(0, -1) : turns;
  return (
    <div class="turns" role="log" aria-live="off" aria-label="Conversation">
      {shown.length === 0 && !waiting && <p class="quiet">Nothing was said yet.</p>}
      {shown.map((turn, place) => <TurnView key={`${id} ${place}`} turn={turn} place={place} />)}
      {waiting && <Answer text={arriving.value!} />}
      <div ref={end} />
    </div>
  );
}

/** Keep the end in sight while it grows, unless the person has scrolled away from it. */
function useFollowing(end: { current: HTMLDivElement | null }): void {
  const text = arriving.value;
  const near = useRef(true);
  useEffect(() => {
    const look = () => (near.current = innerHeight + scrollY > document.documentElement.scrollHeight - 160);
    addEventListener("scroll", look, { passive: true });
    return () => removeEventListener("scroll", look);
  }, []);
  useEffect(() => {
    if (text !== null && near.current) end.current?.scrollIntoView({ block: "end" });
  }, [text]);
}

function TurnView({ turn, place }: { turn: Turn; place: number }) {
  if (turn.role === "user") return <Question text={turn.content} place={place} />;
  return (
    <article class="turn assistant" aria-label="Answer">
      <Markdown text={turn.content} />
      {turn.cut && <p class="quiet">{CUTS[turn.cut]}</p>}
      <div class="tools">
        <span class="quiet">{turn.model}</span>
        <button type="button" class="plain" onClick={() => void copy(turn.content, "Answer")}>Copy</button>
      </div>
    </article>
  );
}

function Answer({ text }: { text: string }) {
  return (
    <article class="turn assistant" aria-label="Answer" aria-busy="true">
      {text ? <Markdown text={text} /> : <span class="caret" />}
    </article>
  );
}

function Question({ text, place }: { text: string; place: number }) {
  const [editing, setEditing] = useState(false);
  const save = (event: SubmitEvent) => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem("text") as HTMLTextAreaElement;
    setEditing(false);
    resend(place, field.value);
  };
  if (!editing) {
    return (
      <article class="turn user" aria-label="Question">
        <p class="said">{text}</p>
        <div class="tools">
          <button type="button" class="plain" disabled={writing.value !== null} onClick={() => setEditing(true)}>Edit</button>
        </div>
      </article>
    );
  }
  return (
    <form class="turn user" onSubmit={save} onKeyDown={(event) => event.key === "Escape" && setEditing(false)}>
      <textarea name="text" aria-label="Question" rows={3} defaultValue={text} ref={(field) => field?.focus()} />
      <div class="row">
        <button type="submit" class="main">Ask again</button>
        <button type="button" onClick={() => setEditing(false)}>Cancel</button>
        <span class="quiet">What followed it is replaced.</span>
      </div>
    </form>
  );
}
