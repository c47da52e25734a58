import { describe, expect, it } from "vitest";
import { type Piece, pieceOf, type Token } from "../src/api/completions";
import { childrenOf, extend, grow, NO_TREE, outline, pathOf, remove, select, type Tree } from "../src/playground/tree";

const token = (id: number): Token => ({ id, name: `t${id}`, logprob: -1, top: [] });
const piece = (...ids: number[]): Piece => ({ tokens: ids.map(token), text: ids.map((id) => `t${id}`).join(""), finish: null, promptTokens: [9] });
const seedling = { prompt: "p", promptTokens: [9], model: "m", seed: 1 };
const ids = (tree: Tree, branch: number) => pathOf(tree, branch).map((each) => each.id);

/** 1: 1 2 3 4; 2 leaves it after 2: 20 21; 3 leaves 2 after 3: 30. */
function family(): Tree {
  let tree = extend(grow(NO_TREE, null, 0, seedling), 1, piece(1, 2, 3, 4));
  tree = extend(grow(tree, 1, 2, { ...seedling, tokens: [token(20)] }), 2, piece(21));
  return grow(tree, 2, 3, { ...seedling, tokens: [token(30)] });
}

describe("the tree", () => {
  it("gives each branch the whole text up to its end", () => {
    const tree = family();
    expect(ids(tree, 1)).toEqual([1, 2, 3, 4]);
    expect(ids(tree, 2)).toEqual([1, 2, 20, 21]);
    expect(ids(tree, 3)).toEqual([1, 2, 20, 30]);
    expect(tree.selected).toBe(3);
  });

  it("makes a branch that leaves before its parent's own tokens that parent's sibling", () => {
    const before = grow(family(), 3, 1, { ...seedling, tokens: [token(40)] });
    expect(before.branches.get(4)).toMatchObject({ parent: 1, at: 1 });
    expect(ids(before, 4)).toEqual([1, 40]);
    const same = grow(family(), 2, 2, { ...seedling, tokens: [token(50)] });
    expect(same.branches.get(4)).toMatchObject({ parent: 1, at: 2 });
    const root = grow(family(), 3, 0, { ...seedling, tokens: [token(60)] });
    expect(root.branches.get(4)).toMatchObject({ parent: null, at: 0 });
    expect(ids(root, 4)).toEqual([60]);
  });

  it("keeps every earlier value as it was", () => {
    const tree = family();
    const before = ids(tree, 1);
    extend(tree, 1, piece(5));
    remove(tree, 1);
    expect(ids(tree, 1)).toEqual(before);
  });

  it("removes a branch with all that left from it, and selects its parent", () => {
    const tree = remove(family(), 2);
    expect([...tree.branches.keys()]).toEqual([1]);
    expect(tree.selected).toBe(1);
    expect(remove(tree, 1)).toMatchObject({ selected: null });
  });

  it("ignores what arrives for a branch that is gone, and numbers are not used twice", () => {
    const tree = remove(family(), 3);
    expect(extend(tree, 3, piece(7))).toBe(tree);
    expect(grow(tree, 1, 1, seedling).selected).toBe(4);
    expect(select(tree, 99)).toBe(tree);
  });

  it("lists branches under their parents in the order they leave", () => {
    const tree = grow(family(), 1, 1, seedling);
    expect(outline(tree).map(({ branch, depth }) => [branch.id, depth])).toEqual([[1, 0], [4, 1], [2, 1], [3, 2]]);
    expect(childrenOf(tree, 1).map((each) => each.id)).toEqual([4, 2]);
  });

  it("remembers how it ended and the prompt's tokens from the first piece", () => {
    const tree = extend(grow(NO_TREE, null, 0, { ...seedling, promptTokens: [] }), 1, { ...piece(1), finish: "length" });
    expect(tree.branches.get(1)).toMatchObject({ finish: "length", promptTokens: [9], text: "t1" });
  });
});

describe("pieceOf", () => {
  it("puts ids, names, scores and the likeliest together, likeliest first", () => {
    const found = pieceOf({
      text: " a",
      finish_reason: null,
      token_ids: [5, 6],
      logprobs: { tokens: [" a", "bytes:\\xe2"], token_logprobs: [-0.5, -2], top_logprobs: [{ b: -1, " a": -0.5 }, null] },
    });
    expect(found.tokens).toEqual([
      { id: 5, name: " a", logprob: -0.5, top: [[" a", -0.5], ["b", -1]] },
      { id: 6, name: "bytes:\\xe2", logprob: -2, top: [] },
    ]);
    expect(pieceOf({ text: "", finish_reason: "stop" }).tokens).toEqual([]);
  });
});
