"""The electricity of a run, by codecarbon where it is installed: offline, never a crash, and said whether measured.

The count of all starts is in energy.json of the run. What a kill lost since the last save is not in it; what was used for
steps that were done twice is.
"""

import contextlib
import logging
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json
from genus.core.progress import duration, say
from genus.train.recipe import Energy

__all__ = ["EnergyCount", "energy_text", "read_energy"]

_NAME = "energy.json"
_ABSENT = "not measured (pip install 'genus[energy]' to have it counted)"
_MEASURED = {"intel_rapl": "RAPL", "windows_emi": "EMI", "intel_power_gadget": "Power Gadget"}  # modes that read a counter


class EnergyCount:
    """Counts inside a `with` block, and adds to what earlier starts of the run in `out` used.

    Entering raises GenusError where the recipe insists on a count that cannot be had; nothing else here raises.
    """

    def __init__(self, out: Path, recipe: Energy) -> None:
        self.path, self.recipe = out / _NAME, recipe
        self.before = read_energy(out)
        self._tracker: Any = None
        self._total: Any = None

    def __enter__(self) -> "EnergyCount":
        wanted, there = self.recipe.count, find_spec("codecarbon") is not None
        if wanted == "on" and not there:
            raise GenusError("energy.count = on needs codecarbon: pip install 'genus[energy]', or leave energy.count out")
        if wanted != "off" and there:
            with _quietly("counting energy failed"):
                self._tracker = self._start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.save()
        tracker, self._tracker = self._tracker, None
        if tracker:
            with _quietly("counting energy could not be ended"):
                tracker.stop()

    def save(self) -> None:
        """Write down what was used up to now."""
        if self._tracker:
            with _quietly("the energy used could not be written down"):
                self._tracker.flush()  # gives the totals to _keep
                if self._total:
                    write_json(self.path, self._added())

    @property
    def kwh(self) -> dict[str, float]:
        """What all starts used up to the last save, for a line of metrics; empty where nothing is counted."""
        return {"kwh": self._added()["kwh"]} if self._total and self._tracker else {}

    def _start(self) -> Any:
        from codecarbon import OfflineEmissionsTracker

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # it would print lines through the progress bar
        handler = SimpleNamespace(out=self._keep, exit=lambda: None)
        country, grid = self.recipe.country, self.recipe.grid
        tracker = OfflineEmissionsTracker(
            country_iso_code=country,
            force_carbon_intensity_g_co2e_kwh=grid if grid is not None else None if country else 0.0,
            output_methods=[],
            output_handlers=[handler],
            emissions_endpoint=False,
            electricitymaps_api_token=False,
            allow_multiple_runs=True,
            api_call_interval=-1,
            log_level="critical",
        )
        tracker.start()
        return tracker

    def _keep(self, total: Any, _delta: Any) -> None:
        self._total = total

    def _added(self) -> dict[str, Any]:
        """This start's use added to that of those before it."""
        total, before, modes = self._total, self.before, _modes(self._tracker)
        parts = {"processor": total.cpu_energy, "accelerator": total.gpu_energy, "memory": total.ram_energy}
        measured = sum(used for part, used in parts.items() if modes.get(part, "").startswith("measured"))
        known = self.recipe.country or self.recipe.grid is not None
        co2 = (before.get("co2_kg") or 0) + total.emissions if known else before.get("co2_kg")
        return {
            "kwh": before.get("kwh", 0) + total.energy_consumed,
            "measured_kwh": before.get("measured_kwh", 0) + measured,
            "co2_kg": co2,
            "seconds": before.get("seconds", 0) + total.duration,
            "how": {**before.get("how", {}), **modes},
        }


def _modes(tracker: Any) -> dict[str, str]:
    """How each part of the machine is counted."""
    found = {}
    for part in tracker._hardware:
        match type(part).__name__:
            case "RAM":
                found["memory"] = "estimated from its size"
            case "GPU":
                found["accelerator"] = "measured by the driver"
            case "CPU" if part._mode in _MEASURED:
                found["processor"] = f"measured by {_MEASURED[part._mode]}"
            case "CPU":
                found["processor"] = "estimated from its load and rated power"
            case _:
                found["processor"] = "measured by the system"
    return found


def read_energy(run: Path) -> dict[str, Any]:
    """What the run in a folder used, as the last save left it; empty where nothing was counted."""
    with contextlib.suppress(GenusError):
        found: dict[str, Any] = read_json(run / _NAME)
        return found
    return {}


def energy_text(used: dict[str, Any]) -> str:
    """`read_energy` for people."""
    if not used:
        return _ABSENT
    share = used["measured_kwh"] / used["kwh"] if used["kwh"] else 0
    kind = "measured" if share == 1 else f"{share:.0%} of it measured" if share else "estimated"
    how = ", ".join(f"{part} {way}" for part, way in used["how"].items())
    text = f"{used['kwh']:.3g} kWh in {duration(used['seconds'])}, {kind} ({how})"
    return text if used["co2_kg"] is None else f"{text}, {used['co2_kg']:.3g} kg CO2e"


@contextlib.contextmanager
def _quietly(what: str) -> Any:
    try:
        yield
    except Exception as error:  # whatever happens in there, training matters more
        say(f"{what} ({type(error).__name__}: {error}); training goes on")
