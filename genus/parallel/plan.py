"""The one tensor-parallel plan: for every part of the decoder, over which axis of the mesh it is split and how.

Megatron's split (arXiv 1909.08053) with sequence parallelism (arXiv 2205.05198): within attention and MLP a rank has all
tokens and a share of the heads or of the middle; on the residual stream it has a share of the tokens and all of the width.
What is no matrix product of a block (tables, norms, heads) is therefore data parallel over the tensor axis too.
"""

from typing import Literal

from genus.models.spec import DecoderSpec, Experts

__all__ = ["SPLITS", "Split", "placements", "splits"]

Split = Literal["columns", "rows", "tokens", "heads"]
"""Columns: of the outputs, each rank makes a share. Rows: of the inputs, each adds up a share. Tokens: of the stream.
Heads: each rank's own."""

SPLITS: dict[str, Split] = {  # of a block
    "attention.q": "columns",
    "attention.k": "columns",
    "attention.v": "columns",
    "attention.sinks": "columns",
    "attention.q_norm": "heads",
    "attention.k_norm": "heads",
    "attention.out": "rows",
    "mlp.up": "columns",
    "mlp.gate": "columns",
    "mlp.down": "rows",
    "attention_norm": "tokens",
    "mlp_norm": "tokens",
}


def splits(spec: DecoderSpec) -> dict[str, Split]:
    """SPLITS for one spec. A single head of keys and values, which all query heads read, and experts are kept whole."""
    whole: tuple[str, ...] = ("attention.k", "attention.v") if spec.attention.kv_heads == 1 else ()
    whole += ("mlp.up", "mlp.gate", "mlp.down") if isinstance(spec.mlp, Experts) else ()
    return {name: split for name, split in SPLITS.items() if name not in whole}


def placements(spec: DecoderSpec) -> dict[str, tuple[tuple[str, int], ...]]:
    """Parameter -> ((axis, dim), ...): it is cut along `dim` over that axis of the mesh, in this order; `{i}` is the layer.

    Over axes that are not named each rank holds it whole. Asked without processes, for `genus plan`.
    """
    from genus.models.weights import empty_model

    found: dict[str, tuple[tuple[str, int], ...]] = {}
    table = splits(spec)
    for name, _ in empty_model(spec).named_parameters():
        block = name.removeprefix("decoder.blocks.0.")
        if block == name:
            if not name.startswith("decoder.blocks."):
                found[name] = (("tensor", 0), ("shard", 0))
            continue
        split = table.get(block) or table.get(block.rpartition(".")[0])
        dim = {"columns": 0, "rows": 1}.get(split or "")
        dim = None if split == "rows" and block.endswith("bias") else dim  # added once, to the sum
        found[f"decoder.blocks.{{i}}.{block}"] = (*([("tensor", dim)] if dim is not None else []), ("shard", 0))
    return found
