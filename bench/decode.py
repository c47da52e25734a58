"""Tokens a second of generation: Genus, transformers, llama.cpp, CTranslate2 and vLLM on one model, in turns.

All start from one model folder in fp32 and get the same token ids, threads and number of tokens; all take the likeliest
token and never end early. Each contender is a process of its own, in the Python that --python names for its library, and
waits while another's turn lasts. Decoding is timed from the first token on, which leaves reading the prompt out; reading a
prompt is timed to the first token. Each round also takes the machine's ceiling: how fast it reads memory, since each step of
decoding needs every weight once, and how fast it multiplies fp32 matrices. Not measured here: quality, loading, HTTP.
"""

import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from decode_figures import CEILING, Racer, bars, print_tables, results, truth, turn
from decode_models import SHAPES, ids_of, make_folder, write_gguf
from decode_peers import FORMATS

from genus.core.errors import GenusError
from genus.models.spec import DecoderSpec
from genus.train.machine import describe

EXAMPLES = """contenders are a library and one of its own formats: genus+bf16, llama.cpp+Q8_0, ...
cases: decode-1 and decode-16 (one text, and 16 at once), prefill (one long prompt); of Genus alone: shared (8 prompts with
one beginning, against 8 without), beside (the tokens of one text while a long prompt is read), copy (a prompt that
repeats itself, with 8 guesses a step from the text itself, against none)

examples:
  python bench/decode.py --python llama.cpp=$P/bin/python ctranslate2=$P/bin/python vllm=$V/bin/python
  python bench/decode.py --shape smollm2 --rounds 7 --json          the last line is one JSON object
  python bench/decode.py --contenders genus+bf16 llama.cpp+BF16 --cases decode-1

The peers are installed in environments of their own; see bench/requirements-decode.txt.

columns: ratio, the first's speed over its; MB, weights that are read for a token; MFLOP, arithmetic for a token; of ceiling,
the share of memory's or arithmetic's speed that they are, the median of the rounds; same, tokens equal to those in fp32
"""
CONTENDERS = [f"{library}+{form}" for library, forms in FORMATS.items() for form in forms if form]
CASES = ("decode-1", "decode-16", "prefill", "shared", "beside", "copy")
OURS_ALONE = ("shared", "beside", "copy")
NEAR = 0.01  # two logits closer than this may change places by rounding
LIMIT = 900.0  # seconds without an answer; the first may compile

Calls = dict[str, list[dict[str, Any]]]


@dataclass(kw_only=True)
class Running(Racer):
    """A contender in its process."""

    process: subprocess.Popen[str]
    log: Path = field(default_factory=Path)

    def ask(self, call: dict[str, Any]) -> dict[str, Any]:
        """Its answer; a `problem` where it ends or stays silent."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps(call) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return {"problem": self._last_words()}
        if not select.select([self.process.stdout], [], [], LIMIT)[0]:
            self.process.kill()
            return {"problem": f"no answer in {LIMIT:.0f} s"}
        line = self.process.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {"problem": self._last_words()}
        return found

    def _last_words(self) -> str:
        code = self.process.wait()
        ended = f"its process ended with signal {-code}" if code < 0 else f"its process ended with code {code}"
        said = [line for line in self.log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
        return f"{ended}: {said[-1][:300]}" if said else ended


def main() -> int:
    """Measure, print the tables, and give the exit code: 1 where the first contender could not be measured."""
    options = _options()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        try:
            spec = make_folder(options.shape, scratch / "model")
        except GenusError as error:
            print(f"{options.shape} was not measured: {error}", file=sys.stderr)
            return 1
        calls = _calls(ids_of(scratch / "model", spec), options)
        racers: dict[str, Running] = {}
        try:
            problems = _start(racers, spec, options, scratch)
            _race(racers, problems, calls, options.rounds)
            found = {**_setting(options, racers), "problems": problems, "disagreements": _disagreements(racers, calls)}
            found["results"] = {case: results(racers, case, spec, options.long) for case in calls}
            found["bars"] = bars(found["results"])
            found["notes"] = {name: racer.facts["notes"] for name, racer in racers.items() if racer.facts["notes"]}
        finally:
            for racer in racers.values():
                racer.process.kill()
    print_tables(found)
    if options.json:
        print(json.dumps(found))
    return 0 if options.contenders[0] in racers else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="124M", help="random GPT-2, or SmolLM2-135M (default 124M)")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS, metavar="LIBRARY+FORMAT")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument(
        "--python", nargs="+", type=_python, default=[], metavar="LIBRARY=PATH", help="its Python, if not this"
    )
    parser.add_argument("--rounds", type=_at_least(1), default=5, help="turns that each gets in each case (default 5)")
    threads = torch.get_num_threads()
    parser.add_argument("--threads", type=_at_least(1), default=threads, help=f"CPU threads (default {threads})")
    parser.add_argument("--new", type=_at_least(2), default=64, help="tokens to decode (default 64)")
    parser.add_argument("--long", type=_at_least(1), default=512, help="tokens of the long prompt (default 512)")
    parser.add_argument("--prefix", type=_at_least(1), default=400, help="tokens of the shared beginning (default 400)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args()


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return number


def _python(text: str) -> tuple[str, str]:
    library, _, path = text.partition("=")
    if library not in FORMATS or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not LIBRARY=PATH with a library ({', '.join(FORMATS)}) and a Python")
    return library, path


def _calls(ids: list[int], options: argparse.Namespace) -> Calls:
    """What is asked in a turn of each case."""

    def cut(start: int, length: int) -> list[int]:
        return [ids[(start + place) % len(ids)] for place in range(length)]

    def generate(prompts: list[list[int]], new: int) -> dict[str, Any]:
        return {"do": "generate", "prompts": prompts, "new": new}

    many, prefix = [cut(97 * row, 32) for row in range(16)], cut(0, options.prefix)
    alike = [prefix + cut(options.prefix + 97 * row, 16) for row in range(8)]
    unlike = [cut(97 * row, options.prefix + 16) for row in range(8)]
    found: Calls = {
        "decode-1": [generate(many[:1], options.new)],
        "decode-16": [generate(many, options.new)],
        "prefill": [generate([cut(0, options.long)], 1)],
        "shared": [generate(alike, 16), generate(unlike, 16)],
        "copy": [{**generate([cut(0, 150) * 2 + cut(0, 8)], 2 * options.new), "guesses": guesses} for guesses in (0, 8)],
        "beside": [{"do": "beside", "prompts": [cut(0, 32), cut(97, options.long)], "new": options.new}],
    }
    return {case: found[case] for case in options.cases}


def _start(racers: dict[str, Running], spec: DecoderSpec, options: argparse.Namespace, scratch: Path) -> dict[str, str]:
    """Add the contenders that can be loaded, one after the other, the ceiling first; a line for each that cannot."""
    if any(name.startswith("llama.cpp") for name in options.contenders):
        for kind in ("F32", "BF16"):
            write_gguf(scratch / "model", scratch / f"{kind}.gguf", kind)
    job = {"threads": options.threads, "folder": str(scratch / "model"), "scratch": str(scratch)}
    job |= {"context": min(spec.context, 1024), "most": 16}
    problems: dict[str, str] = {}
    for name in (CEILING, *options.contenders):
        library, form = name.split("+")
        log = scratch / f"{name}.log"
        python = dict(options.python).get(library, sys.executable)
        with log.open("w") as file:
            # -P: this folder's modules must not take the place of a library's
            command = [python, "-P", str(Path(__file__).with_name("decode_peers.py"))]
            environment, pipe = _environment(library, python, options, scratch), subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=file, text=True, env=environment)
        racer = racers[name] = Running(name, process=process, log=log)
        racer.facts = racer.ask({**job, "library": library, "format": form})
        if "problem" in racer.facts:
            _drop(racers, problems, name, racer.facts["problem"])
        print(f"{name}: {racer.facts.get('problem', 'loaded')}", file=sys.stderr, flush=True)
    return problems


def _environment(library: str, python: str, options: argparse.Namespace, scratch: Path) -> dict[str, str]:
    settings = {
        "OMP_NUM_THREADS": str(options.threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if library == "vllm":  # docs.vllm.ai, "CPU": it asks for these two libraries, and for its threads' places
        asked = (Path(python).parents[1] / "lib" / "libiomp5.so", *Path("/usr/lib").glob("*/libtcmalloc_minimal.so.4"))
        settings |= {
            "LD_PRELOAD": ":".join(str(path) for path in asked if path.is_file()),
            "VLLM_CACHE_ROOT": str(scratch / "vllm"),
            "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; these texts need less
            "VLLM_CPU_OMP_THREADS_BIND": f"0-{options.threads - 1}",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_NO_USAGE_STATS": "1",
        }
    return {**os.environ, **settings}


def _drop(racers: dict[str, Running], problems: dict[str, str], name: str, problem: str) -> None:
    problems[name] = problem
    racers.pop(name).process.kill()


def _race(racers: dict[str, Running], problems: dict[str, str], calls: Calls, rounds: int) -> None:
    """In each case one untimed round, then `rounds` timed ones, A B C A B C. Who fails is moved to `problems`."""
    for case in calls:
        for number in range(rounds + 1):
            for name, racer in list(racers.items()):
                if case in OURS_ALONE and not name.startswith("genus"):
                    continue
                time.sleep(0.3)  # threads of the one before may spin for a while
                answers = [racer.ask(call) for call in calls[case]]
                found = [answer["problem"] for answer in answers if "problem" in answer]
                if found:
                    _drop(racers, problems, name, f"{case}: {found[0]}")
                else:
                    racer.turns.setdefault(case, []).append(turn(case, calls[case], answers))
            print(f"{case}: round {number} of {rounds}", file=sys.stderr, flush=True)


def _disagreements(racers: dict[str, Running], calls: Calls) -> list[str]:
    """Where contenders in fp32 part, and how near the two tokens were: if not near, the work was not equal."""
    right, judge, found = truth(racers), racers.get("genus+fp32"), []
    for name, racer in racers.items():
        if right is None or racer is right or not racer.exact:
            continue
        for case in [case for case in calls if case not in OURS_ALONE]:
            for row, (ours, theirs) in enumerate(zip(racer.tokens(case), right.tokens(case), strict=True)):
                if ours == theirs:
                    continue
                place = next(place for place, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
                said = f"{case}: {name} leaves {right.name} at token {place} of text {row}"
                if judge:
                    prompts = [calls[case][0]["prompts"][row] + theirs[:place]]
                    gap = judge.ask({"do": "gap", "prompts": prompts, "tokens": [ours[place], theirs[place]]})["gap"]
                    said += f", whose logits differ by {gap:.1e}" + ("" if gap < NEAR else ": UNEQUAL WORK")
                found.append(said)
    return found


def _setting(options: argparse.Namespace, racers: dict[str, Running]) -> dict[str, Any]:
    chosen = {name: getattr(options, name) for name in ("shape", "rounds", "threads", "new", "long", "prefix")}
    machine = describe(torch.device("cpu"))
    print(", ".join(f"{name} {value}" for name, value in chosen.items()) + f"; {machine['name']}")
    taken = [each for turns in racers[CEILING].turns.values() for each in turns[1:]]
    ceiling = (
        {key: (min(each[key] for each in taken), max(each[key] for each in taken)) for key in taken[0]} if taken else {}
    )
    for key, (low, high) in ceiling.items():
        print(f"ceiling: {low / 1e9:,.1f} to {high / 1e9:,.1f} {'GB/s' if key == 'bandwidth' else 'GFLOP/s in fp32'}")
    return {**chosen, "machine": machine, "ceiling": ceiling}


if __name__ == "__main__":
    sys.exit(main())
