"""How sure a share is that was measured over a few trials."""

import math

__all__ = ["wilson"]

_95 = 1.959963984540054  # standard deviations that 95% of a normal distribution lie within


def wilson(share: float, count: float) -> tuple[float, float]:
    """Wilson's 95% interval of a share that was found in `count` independent trials (1927); (0, 1) where there were none."""
    if not count:
        return 0.0, 1.0
    z = _95 * _95 / count
    middle = (share + z / 2) / (1 + z)
    half = math.sqrt(z * share * (1 - share) + z * z / 4) / (1 + z)
    return max(0.0, middle - half), min(1.0, middle + half)
