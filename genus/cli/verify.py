"""`genus verify`"""

from pathlib import Path

__all__ = ["verify"]


def verify(model: Path, /) -> None:
    """Load a model folder, save it, load that, and compare fp32 logits; compare them with those of transformers too.

    Where transformers is not installed (pip install 'genus[verify]'), the first comparison is made alone.

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
    if "transformers" not in verdict:
        print("transformers: not installed, so not compared; pip install 'genus[verify]'")
    if max(verdict.values()) > TOLERANCE:
        raise GenusError(f"{model}: logits differ by more than {TOLERANCE:g}; the folder or a library reads it wrongly")
