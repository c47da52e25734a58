"""Seconds and memory to load a model folder: Genus and transformers in turns, each time in a fresh process.

The clock runs from the call to the returned model, libraries already imported; then on through a first forward of 16 tokens,
where a mapped file is read. Memory is the greatest resident size of the process, Python and PyTorch included. Both compute
in fp32 on the same threads, and equal logits show that they loaded the same. The file lies in the system's cache: the first
turn is not counted. Not measured here: a cold disk, a GPU.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_MEASURE = """
import json, resource, sys, time
import torch
folder, ids = sys.argv[1], torch.arange(16)[None]
{imports}
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
before, began = peak(), time.perf_counter()
{load}
load, loaded = time.perf_counter() - began, peak()
with torch.no_grad():
    logits = {forward}
seconds = time.perf_counter() - began
print(json.dumps({{"load": load, "load_and_forward": seconds, "before": before, "loaded": loaded, "peak": peak(),
                   "logits": float(logits.float().abs().sum())}}))
"""
_CODE = {
    "genus": _MEASURE.format(
        imports="from pathlib import Path\nfrom genus.models.attend import FastAttend\n"
        "from genus.models.weights import load_model",
        load="model, _ = load_model(Path(folder))",
        forward="model(ids, torch.arange(16)[None], FastAttend(model.spec))",
    ),
    "transformers": _MEASURE.format(
        imports="import transformers\nfrom transformers import AutoModelForCausalLM\n"
        "transformers.logging.set_verbosity_error()\ntransformers.logging.disable_progress_bar()",
        load="model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()",
        forward="model(ids).logits",
    ),
}
_IMPORT = """
import json, sys, time
from pathlib import Path
from genus.models.importing import import_model
began = time.perf_counter()
import_model(sys.argv[1], Path(sys.argv[2]))
seconds = time.perf_counter() - began
# VmHWM of Linux, and not ru_maxrss, which begins at what the parent process had
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({"seconds": seconds, "peak": int(status["VmHWM"].split()[0]) * 1024}))
"""
_COLUMNS = {"load": "load, s", "load_and_forward": "and forward, s", "loaded": "MB loaded", "peak": "MB peak"}


def main() -> int:
    """Measure, print the table, and give the exit code: 1 when one of the two could not be measured."""
    options = _options()
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in _CODE}
    for turn in range(options.rounds + 1):
        for name, code in _CODE.items():
            done = subprocess.run(
                [sys.executable, "-c", code, options.folder],
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "OMP_NUM_THREADS": str(options.threads), "HF_HUB_OFFLINE": "1"},
            )
            if done.returncode:
                print(f"{name} was not measured: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                return 1
            if turn:
                rounds[name].append(json.loads(done.stdout.splitlines()[-1]))
        print(f"round {turn} of {options.rounds}", file=sys.stderr, flush=True)
    results = {name: _medians(found) for name, found in rounds.items()}
    ratios = {key: results["genus"][key] / results["transformers"][key] for key in _COLUMNS}
    _print_table(options, results, ratios)
    importing = _import(options.source) if options.source else None
    if options.json:
        facts = {"folder": options.folder, "results": results, "ratios": ratios, "rounds": rounds, "import": importing}
        print(json.dumps(facts))
    return 0


def _import(source: str) -> dict[str, float]:
    """Seconds and greatest memory of `genus import`, in a fresh process, beside the weights that it writes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        done = subprocess.run([sys.executable, "-c", _IMPORT, source, str(out)], capture_output=True, text=True, check=True)
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        found["weights"] = sum(path.stat().st_size for path in out.glob("*.safetensors"))
    share = found["peak"] / found["weights"]
    print(f"import {source}: {found['seconds']:.1f} s, at most {found['peak'] / 1e6:,.0f} MB, {share:.2f} of the weights")
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", help="a model folder that both open, such as models/smollm2 of `genus import smollm2`")
    parser.add_argument("--source", help="also measure `genus import` of this, such as smollm2")
    parser.add_argument("--rounds", type=int, default=7, help="turns that each gets (default 7)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads (default all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args()


def _medians(found: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in found) for key in found[0]}


def _print_table(options: argparse.Namespace, results: dict[str, dict[str, float]], ratios: dict[str, float]) -> None:
    weights = sum(path.stat().st_size for path in Path(options.folder).glob("*.safetensors"))
    print(
        f"{options.folder}: {weights / 1e6:,.0f} MB of weights, threads {options.threads}, rounds {options.rounds}, medians"
    )
    print(
        f"{'':14}"
        + "".join(f"{title:>16}" for title in _COLUMNS.values())
        + f"{'loaded/weights':>16}{'sum of |logits|':>18}"
    )
    for name, result in results.items():
        shown = [f"{result['load']:.3f}", f"{result['load_and_forward']:.3f}"]
        shown += [f"{result[key] / 1e6:,.0f}" for key in ("loaded", "peak")]
        shown += [f"{result['loaded'] / weights:.2f}"]
        shown += [f"{result['logits']:.1f}"]
        print(f"{name:14}" + "".join(f"{text:>16}" for text in shown))
    print(f"{'genus/it':14}" + "".join(f"{ratios[key]:16.2f}" for key in _COLUMNS))


if __name__ == "__main__":
    sys.exit(main())
