"""Memory that a step frees is kept for the next, instead of going back to the system and being faulted in page by page."""

import contextlib
import ctypes

__all__ = ["keep_freed_memory"]

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
