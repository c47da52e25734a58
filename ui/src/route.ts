/** Which page the address names: #/chat, #/runs/name. */

import { signal } from "@preact/signals";

export const PAGES = ["playground", "compare", "chat", "answer", "runs", "rank"] as const;
export type PageName = (typeof PAGES)[number];

export interface Route {
  page: PageName;
  rest: string;
}

export function readRoute(hash: string): Route {
  const [, name = "", rest = ""] = /^#\/([^/&]*)\/?([^&]*)/.exec(hash) ?? [];
  const page = PAGES.find((each) => each === name) ?? "playground";
  return { page, rest: decoded(rest) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const route = signal<Route>(readRoute(location.hash));

addEventListener("hashchange", () => (route.value = readRoute(location.hash)));
