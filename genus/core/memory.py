"""Whether something fits into memory, asked before it is allocated: the system's own answer is to kill the process."""

from pathlib import Path

from genus.core.errors import GenusError

__all__ = ["available_memory", "require_memory"]


def require_memory(needed: float, what: str) -> None:
    """Raise GenusError, naming `what`, when `needed` bytes are more than can be had."""
    available = available_memory()
    if needed > available:
        raise GenusError(
            f"{what} needs {needed / 1e9:,.1f} GB, but {available / 1e9:,.1f} GB of memory are free; "
            "choose a smaller model or a larger machine"
        )


def available_memory() -> int:
    """Bytes that can be had without swapping; on systems that do not say, no limit."""
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 2**63
