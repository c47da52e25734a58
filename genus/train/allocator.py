"""Memory in the steps of training: what a step frees is kept for the next, and what was there before is left in peace."""

import contextlib
import ctypes
import gc
from collections.abc import Iterator

__all__ = ["keep_freed_memory", "spare_old_objects"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """From now on, serve large blocks from the heap and never shrink it; give whether the C library could be told so.

    glibc maps each block above some MiB on its own and unmaps it when freed, so that a CPU step would have its activations
    zeroed by the kernel each time: 4 to 8% of a step at 13.9M parameters (records/0002-peers.md). To be called before the
    large allocations; memory stays at its peak until the process ends.
    """
    with contextlib.suppress(OSError, AttributeError):  # not glibc: nothing to tell
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
    return False


@contextlib.contextmanager
def spare_old_objects() -> Iterator[None]:
    """Within the block, Python's collector of cycles does not look again and again at all that was there at its start.

    Examples and modules are a great many objects, and a rollout makes enough new ones to have them all looked at: 7% of its
    time with 4,000 prompts (python bench/ppo.py).
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
