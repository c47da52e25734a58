/** The texts of the playground as a tree: each branch leaves its parent at a token and goes on by itself. Pure. */

import type { Piece, Token } from "../api/completions";

export interface Branch {
  id: number;
  parent: number | null;
  /** How many tokens of the parent's path come before this branch's own. */
  at: number;
  prompt: string;
  /** Empty until the server has told them. */
  promptTokens: number[];
  model: string;
  seed: number;
  /** Its own tokens; the first `chosen` of them were picked by hand. */
  tokens: Token[];
  chosen: number;
  finish: string | null;
  /** What the server gave as text; shorter than the tokens where a stop string cut them. */
  text: string;
}

export interface Tree {
  branches: ReadonlyMap<number, Branch>;
  selected: number | null;
  next: number;
}

export const NO_TREE: Tree = { branches: new Map(), selected: null, next: 1 };

export type Seedling = Pick<Branch, "prompt" | "promptTokens" | "model" | "seed"> & { tokens?: Token[] };

export function selectedBranch(tree: Tree): Branch | null {
  return tree.selected === null ? null : (tree.branches.get(tree.selected) ?? null);
}

/** All tokens after the prompt, from the first to the end of this branch. */
export function pathOf(tree: Tree, id: number): Token[] {
  const branch = tree.branches.get(id);
  if (!branch) return [];
  const before = branch.parent === null ? [] : pathOf(tree, branch.parent).slice(0, branch.at);
  return [...before, ...branch.tokens];
}

/** A new selected branch that leaves the path of `parent` after `at` tokens, or begins with the prompt. */
export function grow(tree: Tree, parent: number | null, at: number, seedling: Seedling): Tree {
  let from = parent === null ? null : (tree.branches.get(parent) ?? null);
  // One that leaves before its parent's own tokens is that parent's sibling.
  while (from && at <= from.at) from = from.parent === null ? null : (tree.branches.get(from.parent) ?? null);
  const tokens = seedling.tokens ?? [];
  const branch: Branch = {
    ...seedling,
    id: tree.next,
    parent: from?.id ?? null,
    at: from ? at : 0,
    tokens,
    chosen: tokens.length,
    finish: null,
    text: "",
  };
  return { branches: new Map(tree.branches).set(branch.id, branch), selected: branch.id, next: tree.next + 1 };
}

/** The tree with what has arrived for a branch; unchanged where that was removed meanwhile. */
export function extend(tree: Tree, id: number, piece: Piece): Tree {
  const branch = tree.branches.get(id);
  if (!branch) return tree;
  const longer: Branch = {
    ...branch,
    tokens: piece.tokens.length ? [...branch.tokens, ...piece.tokens] : branch.tokens,
    text: branch.text + piece.text,
    finish: piece.finish ?? branch.finish,
    promptTokens: branch.promptTokens.length ? branch.promptTokens : (piece.promptTokens ?? []),
  };
  return { ...tree, branches: new Map(tree.branches).set(id, longer) };
}

export function select(tree: Tree, id: number): Tree {
  return tree.branches.has(id) ? { ...tree, selected: id } : tree;
}

/** The tree without a branch and all that left from it; its parent, or any other, is selected then. */
export function remove(tree: Tree, id: number): Tree {
  const branch = tree.branches.get(id);
  if (!branch) return tree;
  const branches = new Map(tree.branches);
  for (const gone of [id, ...descendants(tree, id)]) branches.delete(gone);
  const still = tree.selected !== null && branches.has(tree.selected) ? tree.selected : null;
  return { ...tree, branches, selected: still ?? branch.parent ?? [...branches.keys()].pop() ?? null };
}

export function childrenOf(tree: Tree, id: number | null): Branch[] {
  const children = [...tree.branches.values()].filter((branch) => branch.parent === id);
  return children.sort((one, other) => one.at - other.at || one.id - other.id);
}

function descendants(tree: Tree, id: number): number[] {
  return childrenOf(tree, id).flatMap((child) => [child.id, ...descendants(tree, child.id)]);
}

export interface OutlineRow {
  branch: Branch;
  depth: number;
}

/** Every branch under its parent, in the order they are to be shown in. */
export function outline(tree: Tree, id: number | null = null, depth = 0): OutlineRow[] {
  return childrenOf(tree, id).flatMap((branch) => [{ branch, depth }, ...outline(tree, branch.id, depth + 1)]);
}
