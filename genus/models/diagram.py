"""A decoder drawn from its spec, and said in words: where norms stand, where parts leave the residual stream and return.

Not here: why a field is as it is (cli/explain.py). At most 60 columns, for terminals and Markdown's code blocks.
"""

import textwrap

from genus.models.spec import Alibi, DecoderSpec, Experts, Learned, Llama3, Mlp, Norm, Rotary, Strided, Window, Yarn

__all__ = ["draw", "in_words", "labelled", "window_words"]

_COLUMNS = 60
_ACTIVATIONS = {
    "gelu": "exact GELU",
    "gelu_tanh": "tanh GELU",
    "quick_gelu": "quick GELU",
    "relu": "ReLU",
    "relu_squared": "squared ReLU",
    "silu": "SiLU",
}
_STRETCHES = {Llama3: "Llama 3.1's way", Yarn: "YaRN"}


def draw(spec: DecoderSpec) -> str:
    """The way from tokens to logits; the line that runs down is the residual stream, ⊕ an addition to it."""
    norm = _norm_name(spec.norm)
    into = ["tokens", f"embedding, {spec.vocab:,} × {spec.embed_width:,}"]
    into += [f"map {spec.embed_dim:,} → {spec.width:,}"] if spec.embed_dim else []
    if isinstance(spec.position, Learned):
        into += [f"⊕ ◄─ position, {spec.context + spec.position.offset:,} × {spec.width:,}"]
    into += [norm] if spec.embed_norm else []
    out = [] if spec.wiring == "post" else [norm]
    out += [f"map {spec.width:,} → {spec.embed_dim:,}"] if spec.embed_dim else []
    out += [f"head: {_head(spec)}", f"logits, {spec.vocab:,}"]
    stream = "\n  │\n  "
    parts = {name: words for name, words in in_words(spec).items() if name not in ("shape", "block", "head")}
    return "\n".join(
        [f"  {stream.join(into)}", "  │", *_boxed(spec), "  │", f"  {stream.join(out)}", "", *labelled(parts, _COLUMNS)]
    )


def _boxed(spec: DecoderSpec) -> list[str]:
    """The block, with its border crossed by the stream."""
    lines = _block(spec)
    inner = max(len(line) for line in lines) + 2
    return [
        f"┌─┼─ block × {spec.depth} ".ljust(inner + 2, "─") + "┐",
        *(f"│ {line:<{inner}}│" for line in lines),
        "└─┼".ljust(inner + 2, "─") + "┘",
    ]


def _block(spec: DecoderSpec) -> list[str]:
    norm = _norm_name(spec.norm)
    attention, mlp = "─► attention ─", f"─► {_mlp_name(spec)} ".ljust(14, "─")
    branch = "├" if spec.wiring == "post" else f"├─► {norm} "
    match spec.wiring:
        case "pre":
            lines = [f"{branch}{attention}┐", "⊕", f"{branch}{mlp}┐", "⊕"]
        case "post":
            lines = [f"{branch}{attention}┐", "⊕", norm, f"{branch}{mlp}┐", "⊕", norm]
        case "parallel":
            lines = [f"{branch}{attention}┐", f"{branch}{mlp}┤", "⊕"]
        case "parallel_one_norm":
            lines = [f"{branch}┬{attention}┐", f"{'│':<{len(branch)}}└{mlp}┤", "⊕"]
    back = "⊕ ◄".ljust(len(lines[0]) - 1, "─") + "┘"
    return [back if line == "⊕" else line for line in lines]


def in_words(spec: DecoderSpec) -> dict[str, str]:
    """Each part in a line of plain words, without what is usual (no window, no sink, ...)."""
    return {
        "shape": f"{spec.depth} blocks of width {spec.width:,}, {spec.vocab:,} tokens, contexts of {spec.context:,}",
        "positions": _position(spec),
        "norm": _norm(spec.norm),
        "attention": _attention(spec),
        _mlp_name(spec): _mlp(spec),
        "block": {
            "pre": "x = x + attention(norm(x)), then x = x + mlp(norm'(x))",
            "post": "x = norm(x + attention(x)), then x = norm'(x + mlp(x))",
            "parallel": "x = x + attention(norm(x)) + mlp(norm'(x))",
            "parallel_one_norm": "x = x + attention(norm(x)) + mlp(norm(x))",
        }[spec.wiring].replace("mlp", _mlp_name(spec).lower()),
        "head": _head(spec),
    }


def labelled(words: dict[str, str], columns: int) -> list[str]:
    """Each label and its words, broken into lines of at most `columns`."""
    indent = max(map(len, words)) + 2
    return [
        textwrap.fill(said, columns, initial_indent=label.ljust(indent), subsequent_indent=" " * indent)
        for label, said in words.items()
    ]


def window_words(window: Window) -> str:
    """What a layer sees of the past."""
    if isinstance(window, Strided):
        return f"every {window.stride}th back"
    return "all" if window is None else f"the last {window:,}"


def _norm_name(norm: Norm) -> str:
    return "RMSNorm" if norm.kind == "rms" else "LayerNorm"


def _mlp_name(spec: DecoderSpec) -> str:
    return "experts" if isinstance(spec.mlp, Experts) else "MLP"


def _norm(norm: Norm) -> str:
    learned = [name for name, there in (("gain", norm.gain), ("bias", norm.bias and norm.kind == "layer")) if there]
    return f"{_norm_name(norm)}, eps {norm.eps:g}, {' and '.join(learned) or 'nothing'} learned"


def _position(spec: DecoderSpec) -> str:
    match spec.position:
        case Learned(offset=offset):
            return "a learned vector each, added to the token's" + (f"; the first is row {offset}" if offset else "")
        case Alibi():
            return "none; scores fall with distance, a slope for each head (ALiBi)"
        case Rotary(dim=dim, base=base, pairs=pairs, stretch=stretch):
            share = "whole heads" if dim == spec.attention.head_dim else f"{dim} of a head's {spec.attention.head_dim}"
            stretched = "" if stretch is None else f", stretched {stretch.factor:g} times ({_STRETCHES[type(stretch)]})"
            return f"rotary, {share}, {pairs} turn together, base {base:,.0f}{stretched}"


def _attention(spec: DecoderSpec) -> str:
    part = spec.attention
    said = [f"{part.heads} heads of {part.head_dim}"]
    said += [f"sharing {part.kv_heads} of keys and values"] if part.kv_heads < part.heads else []
    said += [f"scores times {part.scale:g}"] if part.scale is not None else []
    said += ["a norm on each query and key"] if part.qk_norm else []
    said += ["a learned sink in each softmax"] if part.sinks else []
    said += [_biases({"q, k, v": part.bias, "out": part.out_bias})]
    seen = [window_words(window) for window in part.windows]
    return ", ".join(said) + (f"; layers see in turn: {', '.join(seen)}" if seen != ["all"] else "")


def _biases(parts: dict[str, bool]) -> str:
    named = [name for name, there in parts.items() if there]
    return "no biases" if not named else "biases" if len(named) == len(parts) else f"biases in {' and '.join(named)} only"


def _mlp(spec: DecoderSpec) -> str:
    each, width = spec.each_mlp, f"{spec.width:,}"
    into = f"2 × {each.hidden:,}" if each.gated else f"{each.hidden:,}"
    said = f"{width} → {into} → {width}, {_activation(each)}, {'biases' if each.bias else 'no biases'}"
    if isinstance(spec.mlp, Experts):
        return f"{spec.mlp.per_token} of {spec.mlp.count} for each token, each {said}"
    return said


def _activation(mlp: Mlp) -> str:
    said = ("gated " if mlp.gated else "") + _ACTIVATIONS[mlp.activation]
    said += f" cut off at {mlp.clamp:g}" if mlp.clamp is not None else ""
    return said + (f" with {mlp.shift:+g} on the ungated half" if mlp.shift else "")


def _head(spec: DecoderSpec) -> str:
    table = "the embedding's table (tied)" if spec.tied else "a table of its own"
    return (
        table
        + (", with bias" if spec.head_bias else "")
        + (f", times {spec.head_scale:.4g}" if spec.head_scale != 1 else "")
    )
