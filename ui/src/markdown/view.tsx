/** Markdown on the page. Blocks become elements directly: no string of HTML is made of it, so it has nothing to run. */

import { useMemo } from "preact/hooks";
import { type Block, parseBlocks } from "./blocks";
import type { Inline } from "./inline";
import { Maths } from "./maths";

/** `top` is the level that the text's first headings get: pages have an outline of their own. */
export function Markdown({ text, top = 3 }: { text: string; top?: number }) {
  const blocks = useMemo(() => parseBlocks(text), [text]);
  return <div class="markdown">{blocks.map((block, place) => <BlockView key={place} block={block} top={top} />)}</div>;
}

function BlockView({ block, top }: { block: Block; top: number }) {
  switch (block.kind) {
    case "paragraph":
      return <p><Inlines nodes={block.children} /></p>;
    case "heading": {
      const Heading = `h${Math.min(6, block.level + top - 1)}` as "h3";
      return <Heading><Inlines nodes={block.children} /></Heading>;
    }
    case "code":
      return <pre tabIndex={0} aria-label={`Code ${block.language}`.trim()} role="region"><code>{block.text}</code></pre>;
    case "maths":
      return <Maths text={block.text} display />;
    case "quote":
      return <blockquote><Blocks blocks={block.children} top={top} /></blockquote>;
    case "list":
      return <ListView block={block} top={top} />;
    case "table":
      return <TableView block={block} />;
    case "rule":
      return <hr />;
  }
}

function Blocks({ blocks, top }: { blocks: Block[]; top: number }) {
  return <>{blocks.map((block, place) => <BlockView key={place} block={block} top={top} />)}</>;
}

function ListView({ block, top }: { block: Block & { kind: "list" }; top: number }) {
  const items = block.items.map((item, place) => {
    const [only] = item;
    const tight = item.length === 1 && only.kind === "paragraph";
    return <li key={place}>{tight ? <Inlines nodes={only.children} /> : <Blocks blocks={item} top={top} />}</li>;
  });
  return block.ordered ? <ol start={block.start}>{items}</ol> : <ul>{items}</ul>;
}

function TableView({ block }: { block: Block & { kind: "table" } }) {
  return (
    <div class="wide" role="region" aria-label="Table" tabIndex={0}>
      <table>
        <thead>
          <tr>{block.head.map((cell, column) => <th key={column} scope="col"><Inlines nodes={cell} /></th>)}</tr>
        </thead>
        <tbody>
          {block.rows.map((row, place) => (
            <tr key={place}>{row.map((cell, column) => <td key={column}><Inlines nodes={cell} /></td>)}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Inlines({ nodes }: { nodes: Inline[] }) {
  return <>{nodes.map((node, place) => <InlineView key={place} node={node} />)}</>;
}

function InlineView({ node }: { node: Inline }) {
  switch (node.kind) {
    case "text":
      return <>{node.text}</>;
    case "code":
      return <code>{node.text}</code>;
    case "maths":
      return <Maths text={node.text} display={node.display} />;
    case "strong":
      return <strong><Inlines nodes={node.children} /></strong>;
    case "emphasis":
      return <em><Inlines nodes={node.children} /></em>;
    case "struck":
      return <del><Inlines nodes={node.children} /></del>;
    case "link":
      return <a href={node.href} rel="noopener noreferrer nofollow" target="_blank"><Inlines nodes={node.children} /></a>;
    case "break":
      return <br />;
  }
}
