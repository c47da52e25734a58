/** All texts so far, each under the one that it left. */

import { spell, visible } from "../api/spelling";
import { type Branch, childrenOf } from "./tree";
import { choose, discard, tree } from "./state";

const LONGEST = 60;

export function Branches() {
  const roots = childrenOf(tree.value, null);
  if (!roots.length) return null;
  return (
    <section class="branches" aria-labelledby="branches-heading">
      <h2 id="branches-heading">Branches</h2>
      <List branches={roots} />
    </section>
  );
}

function List({ branches }: { branches: Branch[] }) {
  return (
    <ul>
      {branches.map((branch) => {
        const children = childrenOf(tree.value, branch.id);
        return (
          <li key={branch.id}>
            <Line branch={branch} />
            {children.length > 0 && <List branches={children} />}
          </li>
        );
      })}
    </ul>
  );
}

function Line({ branch }: { branch: Branch }) {
  const text = spell(branch.tokens.slice(branch.chosen).map((token) => token.name)).join("").replace(/\s+/g, " ").trim();
  const place = branch.parent === null ? "" : `${branch.at + 1}`;
  const label = text.slice(0, LONGEST) || "…";
  return (
    <div class="line">
      <button type="button" class="plain" aria-current={tree.value.selected === branch.id ? "true" : undefined} onClick={() => choose(branch.id)}>
        {place && <span class="figures" title={`leaves at token ${place}`}>{place}</span>}
        {branch.chosen > 0 && <b>{visible(branch.tokens[0].name)}{" "}</b>}
        <span>{label}</span>
      </button>
      <button type="button" class="plain remove" aria-label={`Remove the branch ${label.slice(0, 20)}`} onClick={() => discard(branch.id)}>×</button>
    </div>
  );
}
