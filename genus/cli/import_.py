"""`genus import`"""

from pathlib import Path

__all__ = ["import_"]


def import_(folder: Path, /, *, out: Path) -> None:
    """Convert a Hugging Face folder with pickled weights (pytorch_model.bin) to safetensors.

    ```sh
    genus import downloads/gpt2 --out models/gpt2
    ```

    Parameters
    ----------
    folder
        The folder with config.json and pytorch_model.bin.
    out
        The folder to make.
    """
    from genus.core.progress import say
    from genus.models.pickles import convert

    convert(folder, out)
    say(f"{out} is ready: genus generate {out}")
