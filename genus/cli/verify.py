"""`genus verify`"""

from pathlib import Path

__all__ = ["verify"]


def verify(model: Path, /) -> None:
    """Open a model folder with transformers too, and compare fp32 logits; load what Genus saves of it, and compare again.

    ```sh
    genus verify runs/demo/model
    ```

    Parameters
    ----------
    model
        The model's folder.
    """
    from genus.core.errors import GenusError
    from genus.models.verify import TOLERANCE
    from genus.models.verify import verify as measure

    verdict = measure(model)
    for name, difference in verdict.items():
        print(f"{name}: logits differ by at most {difference:.2e}")
    if max(verdict.values()) > TOLERANCE:
        raise GenusError(f"{model}: logits differ by more than {TOLERANCE:g}; the folder or a library reads it wrongly")
