"""Time and memory of one attention layer against the length of the text: dense, banded and strided, beside their peers.

Forward and backward of attention alone (q, k, v are given; no projections), batch 1, fp32. Peers that compute the band too:
`masked` is PyTorch's fused attention under a band mask, which is what transformers gives it for sliding windows; `flex` is
PyTorch's FlexAttention with a block mask, compiled, which has no backward on a CPU: with --forward all leave it out. Rounds
alternate. Memory is how far a fresh process's peak rises above the process with its inputs in place.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.models.attend import DenseAttend, FastAttend, make_mask
from genus.models.spec import Attention, DecoderSpec, Learned, Mlp, Norm, Strided, Window
from genus.train.machine import describe

EXAMPLES = """examples:
  python bench/sparse.py                          512 to 16,384 tokens, a band of 256, a stride of 128
  python bench/sparse.py --lengths 2048 4096 --band 512 --rounds 9
  python bench/sparse.py --forward --json         without backward, FlexAttention too; the last line is one JSON object
  python bench/sparse.py --device cuda
"""
EXACT_TO = 2048  # tokens up to which the reference, which writes every score out, is asked too
MASKED_TO = 8192  # a mask of 16,384 squared takes more time than all the rest

Run = Callable[[Tensor, Tensor, Tensor], Tensor]


def main() -> None:
    """Measure, print tables of time and memory per token and how they grow; with --json one object as the last line."""
    options = _options()
    torch.set_num_threads(options.threads)
    if options.probe:
        print(_peak_rise(options.probe, options.lengths[0], options))
        return
    rows = []
    for length in options.lengths:
        names = [name for name in _names(options) if name != "masked" or length <= MASKED_TO]
        errors = _differences(length, options)
        times = _race(names, length, options)
        for name in names:
            memory = _probe(name, length, options) if options.device == "cpu" else _cuda_rise(name, length, options)
            median = statistics.median(times[name])
            ratio = statistics.median(a / b for a, b in zip(times[name], times["banded"], strict=True))
            rows.append({
                "name": name, "length": length, "microseconds_per_token": median * 1e6 / length,
                "bytes_per_token": memory / length, "times_banded": ratio, "difference": errors.get(name),
            })  # fmt: skip
        print(f"{length} tokens measured", file=sys.stderr, flush=True)
    _print(rows, options)
    if options.json:
        print(json.dumps({**vars(options), "machine": describe(torch.device(options.device)), "results": rows}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192, 16384])
    parser.add_argument("--band", type=int, default=256)
    parser.add_argument("--stride", type=int, default=128)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--forward", action="store_true", help="without backward; adds FlexAttention on a CPU")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--probe", help=argparse.SUPPRESS)  # the fresh process of a memory measurement
    return parser.parse_args()


def _names(options: argparse.Namespace) -> list[str]:
    return ["dense", "banded", "strided", "masked", *(["flex"] if options.forward or options.device != "cpu" else [])]


def _spec(window: Window, options: argparse.Namespace) -> DecoderSpec:
    heads, size = options.heads, options.head_dim
    attention = Attention(heads=heads, kv_heads=heads, head_dim=size, windows=(window,))
    parts: dict[str, Any] = {"norm": Norm(), "position": Learned(), "attention": attention, "mlp": Mlp(hidden=1)}
    return DecoderSpec(vocab=1, context=max(options.lengths), width=heads * size, depth=1, **parts)


def _runner(name: str, length: int, options: argparse.Namespace) -> Run:
    windows: dict[str, Window] = {"dense": None, "banded": options.band, "strided": Strided(stride=options.stride)}
    if name in windows:
        return partial(FastAttend(_spec(windows[name], options)), 0)
    if name == "flex":
        return partial(_flex, _flex_parts(length, options))
    index = torch.arange(length, device=options.device)
    mask = make_mask(_spec(options.band, options), options.band, index, index)

    def masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)

    return masked


@cache
def _compiled_flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


def _flex_parts(length: int, options: argparse.Namespace) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    def seen(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (query - key < options.band)

    return create_block_mask(seen, None, None, length, length, device=options.device)


def _flex(blocks: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    out: Tensor = _compiled_flex()(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), block_mask=blocks)
    return out.transpose(1, 2)


def _inputs(length: int, options: argparse.Namespace) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (1, length, options.heads, options.head_dim)
    tensors = [torch.randn(shape, generator=generator).to(options.device) for _ in range(3)]
    return [tensor.requires_grad_(not options.forward) for tensor in tensors]


def _once(run: Run, inputs: list[Tensor]) -> Tensor:
    out = run(*inputs)
    if out.requires_grad:
        out.backward(torch.ones_like(out))
        for tensor in inputs:
            tensor.grad = None
    if out.is_cuda:
        torch.cuda.synchronize()
    return out.detach()


def _differences(length: int, options: argparse.Namespace) -> dict[str, float]:
    """Largest difference of each contender's output from the reference's, which writes every score out."""
    if length > EXACT_TO:
        return {}
    inputs = [tensor.detach() for tensor in _inputs(length, options)]
    windows: dict[str, Window] = {"dense": None, "strided": Strided(stride=options.stride)}
    found = {}
    for name in _names(options):
        reference = DenseAttend(_spec(windows.get(name, options.band), options))(0, *inputs)
        found[name] = float((_runner(name, length, options)(*inputs) - reference).abs().max())
    return found


def _race(names: list[str], length: int, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each round, A A B B C C: the first of two is not timed, it takes back the memory that others left."""
    inputs = _inputs(length, options)
    runs = {name: _runner(name, length, options) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name, run in runs.items():
            _once(run, inputs)
            began = time.perf_counter()
            _once(run, inputs)
            times[name].append(time.perf_counter() - began)
    return times


def _probe(name: str, length: int, options: argparse.Namespace) -> int:
    command = [sys.executable, __file__, "--probe", name, "--lengths", str(length), "--threads", str(options.threads)]
    for field in ("band", "stride", "heads", "head_dim"):
        command += [f"--{field.replace('_', '-')}", str(getattr(options, field))]
    command += ["--forward"] if options.forward else []
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def _peak_rise(name: str, length: int, options: argparse.Namespace) -> int:
    """Bytes that the process's peak lies above what it holds before, after a small run that loads the libraries."""
    short = min(length, 2 * options.band)
    _once(_runner(name, short, options), _inputs(short, options))
    inputs, run = _inputs(length, options), _runner(name, length, options)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    held = _status("VmRSS")
    _once(run, inputs)
    return _status("VmHWM") - held


def _status(field: str) -> int:
    """Bytes, as Linux says of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _cuda_rise(name: str, length: int, options: argparse.Namespace) -> int:
    inputs, run = _inputs(length, options), _runner(name, length, options)
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    _once(run, inputs)
    return torch.cuda.max_memory_allocated() - held


def _print(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    print(f"band {options.band}, stride {options.stride}, heads {options.heads}, head_dim {options.head_dim}, ", end="")
    print(f"rounds {options.rounds}, threads {options.threads}, {'forward' if options.forward else 'forward and backward'}")
    titles = {"microseconds_per_token": "microseconds a token", "bytes_per_token": "bytes a token, above the inputs"}
    titles |= {"times_banded": "time, as multiples of banded (median of rounds)"}
    for field, title in titles.items():
        print(f"\n{title}\n{'':10}" + "".join(f"{length:>11,}" for length in options.lengths) + "     last / at 2,048")
        for name in _names(options):
            found = {row["length"]: row[field] for row in rows if row["name"] == name}
            cells = [format(found[length], ",.2f") if length in found else "-" for length in options.lengths]
            grown = found[max(found)] / found[2048] if 2048 in found and field != "times_banded" else None
            print(f"{name:10}" + "".join(f"{cell:>11}" for cell in cells) + ("" if grown is None else f"{grown:>15.2f} x"))
    worst = {row["name"]: row["difference"] for row in rows if row["difference"] is not None}
    print("\nlargest difference from the written-out reference:", ", ".join(f"{n} {d:.1e}" for n, d in worst.items()))


if __name__ == "__main__":
    main()
