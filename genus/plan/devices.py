"""Devices to plan for, as data: a table that comes along (devices.toml), a user's own file, or the machine that this is."""

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.recipe import read_recipe

__all__ = ["Device", "device_named", "this_device"]

_SCALES = {"memory": 1e9, "bandwidth": 1e9, "link": 1e9, "network": 1e9, "watts": 1.0, "price": 1.0}


@dataclass(frozen=True, kw_only=True)
class Device:
    """One device and its way to others. Bytes, FLOP/s (dense), bytes/s, watts; None where nobody said.

    `link` is one direction to a device of the same node, `network` to one of another; `node` is how many share a node.
    """

    name: str
    memory: float
    flops: dict[str, float]
    bandwidth: float = float("inf")
    link: float = float("inf")
    node: int = 1
    network: float = float("inf")
    watts: float | None = None
    price: float | None = None  # of an hour, in the user's currency
    source: str = ""
    cpu: bool = False

    def peak(self, precision: str) -> float:
        """FLOP/s in that precision. Raises GenusError for one that the device's entry leaves out."""
        if precision not in self.flops:
            raise GenusError(f"{self.name} has no flops.{precision}; add it to its entry, or choose another precision")
        return self.flops[precision]


def device_named(name: str, machines: Path | None = None) -> Device:
    """The device of that name, from the user's file first. Raises GenusError with the nearest name, or the wrong field."""
    known = tomllib.loads((Path(__file__).parent / "devices.toml").read_text("utf-8"))
    where = dict.fromkeys(known, "devices.toml")
    if machines is not None:
        own = read_recipe(machines)
        known |= own
        where |= dict.fromkeys(own, str(machines))
    if name not in known:
        near = difflib.get_close_matches(name, [*known, "this"], 1, cutoff=0.5)
        hint = (
            f"did you mean {near[0]}?" if near else f"choose one of {', '.join([*known, 'this'])}, or name it in --machines"
        )
        raise GenusError(f"{name!r} is not a known device; {hint}")
    return _device(name, known[name], f"{where[name]}: {name}")


def this_device() -> Device:
    """This machine, its speed measured now: a second or two."""
    import torch

    from genus.core.memory import available_memory
    from genus.train.machine import describe, pick_device

    device = pick_device()
    found = describe(device)
    flops = {"fp32": found["matmul_flops"], "bf16": found.get("matmul_flops_bf16", found["matmul_flops"])}
    memory = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else available_memory()
    return Device(
        name=f"this machine, {found['name']}",
        memory=float(memory),
        flops=flops,
        source="measured now: fp32 matrix product, memory that is free",
        cpu=device.type == "cpu",
    )


def _device(name: str, entry: Any, where: str) -> Device:
    if not isinstance(entry, dict):
        raise GenusError(f"{where} should be a table of fields, such as [{name}] memory = 80")
    known = {*_SCALES, "flops", "node", "source"}
    if unknown := sorted(entry.keys() - known):
        raise GenusError(f"{where} has the field {unknown[0]}, which a device has not; it has {', '.join(sorted(known))}")
    fields: dict[str, Any] = {
        field: _positive(entry.get(field), f"{where}.{field}") * scale
        for field, scale in _SCALES.items()
        if field in entry or field == "memory"
    }
    flops = entry.get("flops")
    if not isinstance(flops, dict) or not flops:
        raise GenusError(f"{where}.flops should be a table of TFLOP/s, such as {{ bf16 = 312, fp32 = 19.5 }}")
    peaks = {precision: _positive(value, f"{where}.flops.{precision}") * 1e12 for precision, value in flops.items()}
    node = entry.get("node", 1)
    if not isinstance(node, int) or node < 1:
        raise GenusError(f"{where}.node = {node} should be the number of devices in a node, at least 1")
    return Device(name=name, flops=peaks, node=node, source=str(entry.get("source", "")), **fields)


def _positive(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise GenusError(f"{where} = {value} should be a number above 0; correct it")
    return float(value)
