/** Text to the clipboard; where the browser forbids that, as without HTTPS, into a dialog to copy from by hand. */

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { announce } from "./narrator";

const offered = signal<string | null>(null);
export const notice = signal("");
let clearing: ReturnType<typeof setTimeout> | undefined;

export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    show(`${what} copied`);
  } catch {
    offered.value = text;
  }
}

export function show(text: string): void {
  notice.value = text;
  announce(text);
  clearTimeout(clearing);
  clearing = setTimeout(() => (notice.value = ""), 2500);
}

export function CopyDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const text = offered.value;
  useEffect(() => {
    if (text === null) return;
    dialog.current?.showModal();
    dialog.current?.querySelector("textarea")?.select();
  }, [text]);
  return (
    <dialog ref={dialog} aria-labelledby="copy-heading" onClose={() => (offered.value = null)}>
      <h2 id="copy-heading">Copy this</h2>
      <textarea aria-label="Text to copy" readOnly rows={10} value={text ?? ""} />
      <div class="row">
        <button type="button" onClick={() => dialog.current?.close()}>Close</button>
      </div>
    </dialog>
  );
}
