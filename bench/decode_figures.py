"""What decode.py makes of its turns: speeds, shares of the machine's ceiling, equal tokens, bars; and its tables."""

import itertools
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genus.engine.packed import BYTES
from genus.models.costs import generating_flop
from genus.models.spec import DecoderSpec, Learned

__all__ = ["CEILING", "Racer", "bars", "print_tables", "results", "truth", "turn"]

CEILING = "ceiling+"
_BYTES = {"fp32": 4, "float32": 4, "bf16": 2, "int8": 1}  # a weight of a peer's; llama.cpp tells its own
_EXACT = {"fp32", "float32", "F32"}
_OURS, _VLLM = ("genus+fp32", "genus+bf16"), ("vllm+fp32", "vllm+bf16")
_BARS = (  # case, of Genus, of a peer (the fastest of each), how many times the peer's speed is asked for
    ("decode-1", _OURS, ("transformers+fp32", "transformers+bf16"), 3.0),
    ("decode-1", ("genus+bf16",), ("llama.cpp+BF16",), 1.0),
    ("decode-1", ("genus+int8",), ("llama.cpp+Q8_0",), 0.9),
    ("decode-16", _OURS, _VLLM, 1.0),
    ("decode-16", ("genus+int8",), _VLLM, 1.0),
    ("prefill", _OURS, _VLLM, 1.0),
    ("prefill", ("genus+int8",), ("ctranslate2+int8",), 1.0),
)

Turn = dict[str, Any]


@dataclass
class Racer:
    """One contender, what it said of itself, and its turns in each case, of which the first is not timed."""

    name: str
    facts: dict[str, Any] = field(default_factory=dict)
    turns: dict[str, list[Turn]] = field(default_factory=dict)

    @property
    def form(self) -> str:
        """The format of its weights."""
        return self.name.partition("+")[2]

    @property
    def exact(self) -> bool:
        """Whether it computes in fp32."""
        return self.form in _EXACT

    def tokens(self, case: str) -> list[list[int]]:
        """What it said."""
        found: list[list[int]] = self.turns[case][0]["tokens"]
        return found


def turn(case: str, calls: list[dict[str, Any]], answers: list[Turn]) -> Turn:
    """What a turn says: `speed` in tokens/s, or how many times faster, or the seconds as they came."""
    first, prompts = answers[0], calls[0]["prompts"]
    if "bandwidth" in first or case == "beside":
        return first
    if case == "shared":
        alike, unlike = (answer["last"] for answer in answers)
        return {"speed": unlike / alike, "alike": alike, "unlike": unlike}
    if case == "copy":
        plain, guessed = answers
        same = float(plain["tokens"] == guessed["tokens"])
        seconds = [answer["last"] - answer["first"] for answer in answers]
        return {"speed": seconds[0] / seconds[1], "plain": seconds[0], "guessed": seconds[1], "equal": same}
    if case == "prefill":
        return {"speed": len(prompts[0]) / first["first"], "tokens": first["tokens"]}
    told = len(prompts) * (calls[0]["new"] - 1)
    return {"speed": told / (first["last"] - first["first"]), "tokens": first["tokens"]}


def truth(racers: Mapping[str, Racer]) -> Racer | None:
    """Whose tokens the others' are compared with: those of transformers in fp32, or of another in fp32."""
    exact = [racer for racer in racers.values() if racer.exact]
    return racers.get("transformers+fp32") or (exact[0] if exact else None)


def results(racers: Mapping[str, Racer], case: str, spec: DecoderSpec, length: int) -> list[dict[str, Any]]:
    """A row for each contender of a case; `length` is that of the long prompt."""
    rows: list[dict[str, Any]] = []
    for name, racer in racers.items():
        turns = racer.turns.get(case, [])[1:]
        if name == CEILING or not turns:
            continue
        row: dict[str, Any] = {"name": f"{name} {racer.facts['version']}", "contender": name}
        row |= {key: statistics.median(each[key] for each in turns) for key in turns[0].keys() - {"tokens"}}
        if "tokens" in turns[0]:
            ceilings = [each["flops" if case == "prefill" else "bandwidth"] for each in racers[CEILING].turns[case][1:]]
            need = _flop(spec, length) if case == "prefill" else _bytes(racer, spec) / len(turns[0]["tokens"])
            shares = [need * each["speed"] / ceiling for each, ceiling in zip(turns, ceilings, strict=True)]
            row |= {"need": need, "share": statistics.median(shares), "rounds": [each["speed"] for each in turns]}
            row["same"] = _same(racer, truth(racers), case)
        rows.append(row)
    for row in rows if rows and "rounds" in rows[0] else ():
        row["ratio"] = _ratio(rows[0], row)
    return rows


def bars(found: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What is asked of Genus, and what came; None where nobody of a side was measured."""
    lines = []
    for case, ours, theirs, least in _BARS:
        one, other = (_fastest(found.get(case, []), names) for names in (ours, theirs))
        of = f"{one['contender'] if one else ours[0]} / {other['contender'] if other else theirs[0]}"
        lines.append({"case": case, "of": of, "least": least, "ratio": _ratio(one, other) if one and other else None})
    return lines


def _fastest(rows: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, Any] | None:
    return max((row for row in rows if row["contender"] in names), key=lambda row: row["speed"], default=None)


def _ratio(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The median over pairs of neighbours in time, so that other work on the machine weighs on both."""
    return statistics.median(a / b for a, b in zip(one["rounds"], other["rounds"], strict=True))


def _same(racer: Racer, other: Racer | None, case: str) -> float | None:
    """The share of tokens that are equal."""
    if other is None or case not in other.turns:
        return None
    ours, theirs = (list(itertools.chain(*each.tokens(case))) for each in (racer, other))
    return sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours)


def _flop(spec: DecoderSpec, length: int) -> float:
    """To read a token of a prompt, which sees half of it on average; only the last one's next token is asked for."""
    head = 2 * spec.vocab * spec.embed_width
    return generating_flop(spec, length // 2) - head * (1 - 1 / length)


def _bytes(racer: Racer, spec: DecoderSpec) -> float:
    """Of weights that a step reads: all but tables of which it looks up a row."""
    if racer.facts["bytes"]:
        places = 4 * spec.context * spec.width if isinstance(spec.position, Learned) else 0
        return float(racer.facts["bytes"] - places)
    each = BYTES[racer.form] if racer.name.startswith("genus") else _BYTES[racer.form]  # type: ignore[index]
    return (spec.active_parameters - spec.embedding_parameters + spec.vocab * spec.embed_width) * each


def print_tables(found: dict[str, Any]) -> None:
    """One table a case, then bars, unequal tokens, and who was not measured."""
    for case, rows in found["results"].items():
        others = {"shared": _print_shared, "beside": _print_beside, "copy": _print_copy}
        others.get(case, lambda rows, case=case: _print_speeds(case, rows))(rows)
    print("\nGenus's speed over a peer's, the median of the rounds")
    for bar in found["bars"]:
        ratio = "not measured" if bar["ratio"] is None else f"{bar['ratio']:.2f}"
        print(f"{bar['case']:10} {bar['of']:38}{ratio:>12}  at least {bar['least']}")
    print()
    for name, notes in found["notes"].items():
        print(f"{name}: {notes}")
    for line in found["disagreements"]:
        print(line)
    for name, problem in found["problems"].items():
        print(f"{name} was not measured: {problem}")


def _print_speeds(case: str, rows: list[dict[str, Any]]) -> None:
    need = "MFLOP" if case == "prefill" else "MB"
    print(f"\n{case:34}{'tokens/s':>9}{'slowest':>9}{'fastest':>9}{'ratio':>7}{need:>8}{'of ceiling':>11}{'same':>6}")
    for row in rows:
        speeds = f"{row['speed']:9,.1f}{min(row['rounds']):9,.1f}{max(row['rounds']):9,.1f}{row['ratio']:7.2f}"
        same = "-" if row["same"] is None else f"{row['same']:.0%}"
        print(f"{row['name']:34}{speeds}{row['need'] / 1e6:8,.1f}{row['share']:11.0%}{same:>6}")


def _print_shared(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'8 prompts with one beginning':34}{'seconds':>9}{'without':>9}{'faster':>9}")
    for row in rows:
        print(f"{row['name']:34}{row['alike']:9.2f}{row['unlike']:9.2f}{row['speed']:9.2f}  at least 3")


def _print_beside(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'a text beside a long prompt':34}{'ms alone':>9}{'beside':>9}{'slower':>9}{'s to read':>11}")
    for row in rows:
        alone, beside, reading = row["alone"], row["beside"], row["reading"]
        print(f"{row['name']:34}{alone * 1e3:9.1f}{beside * 1e3:9.1f}{beside / alone - 1:9.0%}{reading:11.2f}  at most 15%")


def _print_copy(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'a text that repeats itself':34}{'s plain':>9}{'guessed':>9}{'faster':>9}{'same':>6}")
    for row in rows:
        print(
            f"{row['name']:34}{row['plain']:9.2f}{row['guessed']:9.2f}{row['speed']:9.2f}{row['equal']:6.0%}  at least 1.5"
        )
