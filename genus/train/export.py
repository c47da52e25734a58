"""A checkpoint of a run as a Hugging Face folder, by one process, however many ranks wrote it."""

from pathlib import Path

from genus.core.errors import GenusError
from genus.core.progress import say
from genus.data.shards import open_shards
from genus.train.checkpoint import checkpoints, stored_model
from genus.train.pretrain import describe_model, write_model
from genus.train.recipe import Pretrain

__all__ = ["export"]


def export(recipe: Pretrain, step: int | None = None, out: Path | None = None) -> Path:
    """Write the model of a run's newest checkpoint, or of `step`, to `out`, by default model-step-N in the run's folder.

    Raises GenusError when there is no such checkpoint, or it is not whole.
    """
    found = checkpoints(recipe.out / "checkpoints")
    names = {int(path.name.removeprefix("step-")): path for path in found}
    if not found or (step is not None and step not in names):
        there = f"there are {', '.join(map(str, sorted(names)))}" if names else "train first"
        raise GenusError(f"{recipe.out} has no checkpoint{'' if step is None else f' of step {step}'}; {there}")
    path = found[0] if step is None else names[step]
    shards = open_shards(recipe.shards)
    _, spec = describe_model(recipe, shards)
    try:
        model = stored_model(path, spec)
    except GenusError as error:
        raise GenusError(f"{path}: {error}; choose another step") from error
    folder = write_model(recipe, model, shards, out or recipe.out / f"model-{path.name}")
    say(f"the model after {path.name} is in {folder}")
    return folder
