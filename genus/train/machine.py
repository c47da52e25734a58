"""What this machine is and which of its abilities pay: device, precision, compiler, peak speed."""

import contextlib
import os
import platform
import shutil
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.progress import say
from genus.train.recipe import Precision, Switch

__all__ = ["autocast", "compiled", "describe", "pick_device", "use_bf16", "use_compile"]


def pick_device() -> torch.device:
    """The accelerator, where there is one that this build of PyTorch can use."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether to compute in bf16. A CPU without bf16 matrix units computes it slower than fp32, so "auto" leaves it."""
    if precision == "auto":
        return device.type == "cuda" or torch.cpu._is_amx_tile_supported()
    return precision == "bf16"


def autocast(device: torch.device, bf16: bool) -> contextlib.AbstractContextManager[Any]:
    """Compute in bf16 with fp32 weights, or change nothing."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()


def use_compile(switch: Switch, device: torch.device) -> bool:
    """Whether to compile the step. Raises GenusError for "on" without a C++ compiler.

    "auto" leaves a CPU's step as it is: compiled it is no faster at GPT-2's shapes (records/0002-peers.md).
    """
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    if switch == "on" and not compiler:
        raise GenusError("compile = on needs a C++ compiler (g++ or clang++); install one, or use compile = auto")
    return switch == "on" or (switch == "auto" and device.type == "cuda" and compiler is not None)


def compiled(module: Callable[..., Tensor], switch: Switch) -> Callable[..., Tensor]:
    """The same, compiled when it is first called; with "auto", as it is where the compiler fails, which is said once."""
    fused: Callable[..., Tensor] = torch.compile(module)

    def call(*inputs: Any) -> Tensor:
        nonlocal fused
        try:
            return fused(*inputs)
        except torch._dynamo.exc.TorchDynamoException as error:
            if switch == "on":
                raise GenusError(f"the step could not be compiled ({_first_line(error)}); use compile = off") from error
            say(f"the step could not be compiled ({_first_line(error)}); training goes on without")
            fused = module
            return module(*inputs)

    return call


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200]


def describe(device: torch.device, bf16: bool = False) -> dict[str, Any]:
    """The machine in words and numbers, for records: name, threads, torch, and what it reaches in fp32 or bf16."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {
        "device": device.type,
        "name": name,
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "precision": "bf16" if bf16 else "fp32",
        "matmul_flops": _matmul_flops(device, torch.bfloat16 if bf16 else torch.float32),
    }


_MEASURED = 1.0  # seconds; slow machines differ less from turn to turn


@cache
def _matmul_flops(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a square matrix product, best of ten or of one second's: the peak against which use is stated."""
    size = 8192 if device.type == "cuda" else 2048  # smaller ones leave an accelerator partly idle
    generator = torch.Generator(device).manual_seed(0)  # its own: to measure is not to change a run
    left, right = (torch.randn(size, size, device=device, dtype=dtype, generator=generator) for _ in range(2))
    best, start = float("inf"), time.perf_counter()
    for _ in range(10):
        if time.perf_counter() - start > _MEASURED:
            break
        _wait(device)
        began = time.perf_counter()
        left @ right
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
