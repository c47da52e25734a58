/** The frame of every page: header, model, theme, and what lies above them all. */

import { useEffect, useState } from "preact/hooks";
import type { ComponentType } from "preact";
import { desk, loadDesk } from "./api/feedback";
import { answerers, loadModels, model, modelFacts, models, modelsFailure, wantedModel } from "./api/models";
import { Alert } from "./parts/alert";
import { CopyDialog, notice } from "./parts/copying";
import { count } from "./parts/figures";
import { KeyDialog } from "./parts/key-dialog";
import { narration } from "./parts/narrator";
import { type Theme, theme, THEMES } from "./parts/theme";
import { Playground } from "./playground/page";
import { type PageName, PAGES, route } from "./route";

const TITLES: Record<PageName, string> = { playground: "Playground", compare: "Compare", chat: "Chat", answer: "Ask", runs: "Runs", rank: "Rank" };

/** The playground is there at once; the others come when they are opened. */
const LATER: Partial<Record<PageName, () => Promise<ComponentType>>> = {
  compare: () => import("./compare/page").then((file) => file.Compare),
  chat: () => import("./chat/page").then((file) => file.Chat),
  answer: () => import("./answer/page").then((file) => file.Ask),
  runs: () => import("./runs/page").then((file) => file.Runs),
  rank: () => import("./rank/page").then((file) => file.Rank),
};

export function App() {
  useEffect(() => {
    void loadModels();
    // Where that fails, the page that needs it says so.
    loadDesk().catch(() => undefined);
  }, []);
  const { page } = route.value;
  useEffect(() => {
    document.title = `${TITLES[page]} · Genus`;
  }, [page]);
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>Skip to the page</a>
      <Header page={page} />
      <main id="main" tabIndex={-1} class={`page-${page}`}>
        <h1 class="unseen">{TITLES[page]}</h1>
        <Alert failure={modelsFailure.value} retry={() => void loadModels()} />
        {page === "playground" ? <Playground /> : <Later key={page} page={page} />}
      </main>
      <div class="unseen" aria-live="polite">{narration.value}</div>
      {notice.value && <div class="notice" aria-hidden="true">{notice.value}</div>}
      <CopyDialog />
      <KeyDialog />
    </>
  );
}

/** The address stays: what stands in it after # is the page. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Later({ page }: { page: PageName }) {
  const [Page, setPage] = useState<ComponentType | null>(null);
  const [lost, setLost] = useState(false);
  useEffect(() => {
    LATER[page]?.().then((found) => setPage(() => found), () => setLost(true));
  }, [page]);
  if (lost) return <p role="alert" class="alert">This page could not be loaded. See that the server is running, then reload.</p>;
  return Page ? <Page /> : <p class="quiet">Loading…</p>;
}

function Header({ page }: { page: PageName }) {
  return (
    <header class="top">
      <span class="brand">Genus</span>
      <nav aria-label="Pages">
        {PAGES.filter((name) => name === page || isOffered(name)).map((name) => (
          <a key={name} href={`#/${name}`} aria-current={name === page ? "page" : undefined}>{TITLES[name]}</a>
        ))}
      </nav>
      <ModelChoice />
      <ThemeChoice />
    </header>
  );
}

/** Without a store there is nothing to rank, without an index nothing to cite; `genus rank` serves no model, so nothing else. */
function isOffered(name: PageName): boolean {
  if (name === "answer") return answerers.value.length > 0;
  return name === "rank" ? desk.value !== null : !desk.value || models.value?.length !== 0;
}

function ModelChoice() {
  const all = models.value;
  const facts = modelFacts.value;
  const told = [
    facts.parameters && `${count(facts.parameters)} parameters`,
    facts.context && `context ${facts.context.toLocaleString("en")}`,
    facts.weights,
  ].filter(Boolean);
  return (
    <div class="model">
      <select aria-label="Model" value={model.value} disabled={!all?.length} onChange={(event) => (wantedModel.value = event.currentTarget.value)}>
        {all?.map((each) => <option key={each.id} value={each.id}>{each.id}</option>)}
        {!all?.length && <option value="">{all ? "no model" : "…"}</option>}
      </select>
      <span class="quiet facts">{told.join(" · ")}</span>
    </div>
  );
}

function ThemeChoice() {
  return (
    <select class="theme" aria-label="Theme" value={theme.value} onChange={(event) => (theme.value = event.currentTarget.value as Theme)}>
      {THEMES.map((each) => <option key={each} value={each}>{each[0].toUpperCase() + each.slice(1)}</option>)}
    </select>
  );
}
