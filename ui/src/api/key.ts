/** The API key: taken from the address once, kept for this tab only, asked for when the server wants one. */

import { signal } from "@preact/signals";

const NAME = "genus.key";

/** Why a key is asked for, and what to call with the answer; only its first counts. */
export interface KeyQuestion {
  reason: string;
  answer: (key: string | null) => void;
}

/** The question that is open, if one is. */
export const keyQuestion = signal<KeyQuestion | null>(null);

let asked: Promise<string | null> | null = null;

export function knownKey(): string | null {
  return sessionStorage.getItem(NAME);
}

/** `#key=…` leaves the address at once, so that it is neither bookmarked nor shared with a screenshot. */
export function takeKeyFromAddress(): void {
  const found = /(?:^#|&)key=([^&]*)/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem(NAME, decodeURIComponent(found[1]));
  const rest = location.hash.replace(/^#/, "").split("&").filter((part) => !part.startsWith("key="));
  history.replaceState(null, "", location.pathname + location.search + (rest.length ? `#${rest.join("&")}` : ""));
}

/** Ask the person; null when they decline. Requests that fail together share one question. */
export function askForKey(reason: string): Promise<string | null> {
  asked ??= new Promise<string | null>((resolve) => {
    const answer = (key: string | null) => {
      if (keyQuestion.value !== question) return;
      if (key !== null) sessionStorage.setItem(NAME, key);
      keyQuestion.value = null;
      asked = null;
      resolve(key);
    };
    const question = { reason, answer };
    keyQuestion.value = question;
  });
  return asked;
}
