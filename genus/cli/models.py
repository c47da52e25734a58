"""`genus models`, and how a name becomes a spec for the commands that only describe."""

import difflib
import json
import os
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from genus.cli.tables import Rows, aligned
from genus.core.errors import GenusError

if TYPE_CHECKING:
    from genus.models.family import Family
    from genus.models.spec import DecoderSpec

__all__ = ["Described", "describe", "models", "size_rows"]


class Described(NamedTuple):
    """A model of which the shape is known: a published size, or a folder."""

    name: str
    family: "Family"
    spec: "DecoderSpec"


def models(
    name: str | None = None,
    /,
    *,
    diagram: bool = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """List the families and their published sizes; or say what one model is, and what it needs of memory and arithmetic.

    ```sh
    genus models
    genus models llama
    genus models opt-175b
    genus models gpt2 --diagram
    genus models runs/demo/model --json
    ```

    Parameters
    ----------
    name
        A size, a family, or a model's folder; none lists every family. A name that is a size and a family is the size.
    diagram
        Draw the decoder instead; of a family, its first size.
    json_
        Print the same facts as one line of JSON.
    """
    from genus.models.diagram import draw
    from genus.models.families import FAMILIES, family_named

    families = [family_named(each) for each in FAMILIES if name is None or each == name.lower()]
    if diagram:
        if name is None:
            raise GenusError("a diagram is of one model; name it, such as `genus models gpt2 --diagram`")
        print(draw(describe(name).spec))
    elif name is None or (families and name.lower() not in families[0].sizes):
        facts = {family.name: {size: _facts(spec) for size, spec in family.sizes.items()} for family in families}
        print(_json(facts) if json_ else _list_all(families) if name is None else _list_one(families[0]))
    else:
        model = describe(name)
        print(_json({"name": model.name, "family": model.family.name, **_facts(model.spec)}) if json_ else _text(model))


def describe(name: str) -> Described:
    """The size of that name, the first size of the family of that name, or the model in that folder.

    Raises GenusError with the nearest name.
    """
    from genus.models.families import FAMILIES, family_named
    from genus.models.weights import read_spec

    families = [family_named(each) for each in FAMILIES]
    sizes = {size: Described(size, family, spec) for family in families for size, spec in family.sizes.items()}
    known = {family.name: sizes[next(iter(family.sizes))] for family in families} | sizes
    if name.lower() in known:
        return known[name.lower()]
    if os.sep in name or Path(name).is_dir():
        spec, family = read_spec(Path(name))
        return Described(name, family, spec)
    near = difflib.get_close_matches(name.lower(), known, 1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "`genus models` lists them"
    raise GenusError(f"{name[:80]!r} is not a size, a family or a folder; {hint}")


def size_rows(sizes: "Mapping[str, DecoderSpec]") -> Rows:
    """The shape of each size, under a head. Active parameters and heads of keys and values are told where they are fewer."""
    head = ("size", "parameters", "active", "width", "depth", "heads", "kv heads", "context")
    rows = [head, *(_size_row(name, spec) for name, spec in sizes.items())]
    told = [place for place in range(len(head)) if any(row[place] for row in rows[1:])]
    return [[row[place] for place in told] for row in rows]


def _size_row(name: str, spec: "DecoderSpec") -> tuple[str, ...]:
    part = spec.attention
    return (
        name,
        f"{spec.parameters:,}",
        f"{spec.active_parameters:,}" if spec.active_parameters < spec.parameters else "",
        f"{spec.width:,}",
        f"{spec.depth}",
        f"{part.heads}",
        f"{part.kv_heads}" if part.kv_heads < part.heads else "",
        f"{spec.context:,}",
    )


def _list_all(families: "list[Family]") -> str:
    head, *rows = aligned(size_rows({size: spec for family in families for size, spec in family.sizes.items()}))
    lines = [head]
    for family in families:
        lines += ["", f"{family.title}: {family.name}", *rows[: len(family.sizes)]]
        rows = rows[len(family.sizes) :]
    return "\n".join(lines)


def _list_one(family: "Family") -> str:
    return "\n".join([f"{family.title}: {family.name}", "", *aligned(size_rows(family.sizes)), "", _story(family)])


def _story(family: "Family") -> str:
    """The docstring of the family's file: what changed since those before it."""
    return (import_module(f"genus.models.families.{family.name}").__doc__ or "").strip()


def _facts(spec: "DecoderSpec") -> dict[str, Any]:
    """Counts, bytes and FLOP of a spec, and all its fields."""
    from genus.cli.explain import fields_of
    from genus.models.costs import ADAMW_BYTES, cache_numbers, generating_flop

    return {
        "parameters": spec.parameters,
        "active_parameters": spec.active_parameters,
        "bytes": {
            "weights_fp32": 4 * spec.parameters,
            "weights_bf16": 2 * spec.parameters,
            "training_adamw_fp32": ADAMW_BYTES * spec.parameters,
            "cache_token_bf16": 2 * cache_numbers(spec, 1),
            "cache_context_bf16": 2 * cache_numbers(spec, spec.context),
        },
        "flop": {
            "training_token": spec.training_flop(spec.context),
            "generating_first_token": generating_flop(spec, 1),
            "generating_last_token": generating_flop(spec, spec.context),
        },
        "spec": {path: value for path, (_, value) in fields_of(spec).items()},
    }


def _text(model: Described) -> str:
    """The same for people."""
    from genus.models.costs import ADAMW_BYTES
    from genus.models.diagram import in_words, labelled

    facts, spec = _facts(model.spec), model.spec
    size = {name: _scaled(count, "B") for name, count in facts["bytes"].items()}
    flop = {name: _scaled(count, "FLOP") for name, count in facts["flop"].items()}
    banded = " (a band keeps only itself)" if any(isinstance(window, int) for window in spec.attention.windows) else ""
    active = f", of which a token meets {spec.active_parameters:,}" if spec.active_parameters < spec.parameters else ""
    rows = {
        **in_words(spec),
        "parameters": f"{spec.parameters:,}{active}",
        "weights": f"{size['weights_fp32']} in fp32, {size['weights_bf16']} in bf16",
        "training": f"{size['training_adamw_fp32']} with AdamW in fp32 ({ADAMW_BYTES} bytes a parameter), and activations; "
        f"{flop['training_token']} a token in rows of {spec.context:,}",
        "cache": f"{facts['bytes']['cache_token_bf16']:,} bytes a token in bf16, {size['cache_context_bf16']} for all "
        f"{spec.context:,}{banded}",
        "generating": f"{flop['generating_first_token']} for the first token, {flop['generating_last_token']} for the last",
    }
    others = [size for size in model.family.sizes if size != model.name]
    return "\n".join([
        f"{model.name}: {model.family.title}",
        "",
        *labelled(rows, min(shutil.get_terminal_size().columns, 110)),
        "",
        _story(model.family),
        *(["", f"Other sizes: {', '.join(others)}."] if others else []),
    ])  # fmt: skip


def _scaled(number: float, unit: str) -> str:
    """349,208,936,448 B as 349.2 GB: powers of 1,000."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            return f"{number / factor:,.1f} {prefix}{unit}"
    return f"{number:,.0f} {unit}"


def _json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, default=vars)
