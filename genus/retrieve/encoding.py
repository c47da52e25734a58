"""Which encoder is meant, by name or by the index whose vectors it made. Not for what an encoder does."""

from pathlib import Path

from genus.core.errors import GenusError
from genus.retrieve.corpus import Corpus
from genus.retrieve.encoder import Encoder
from genus.retrieve.passage import Passage

__all__ = ["encoder_of", "open_encoder", "read_by_encoder"]


def open_encoder(name: str = "minilm") -> Encoder:
    """ "minilm", the packaged one, or the folder of any Genus model. Raises GenusError for anything else."""
    if name == "minilm":
        from genus.retrieve.minilm import MiniLM

        return MiniLM()
    if not Path(name).is_dir():
        raise GenusError(f"encoder {name} is neither minilm nor a model folder; name one of them")
    from genus.retrieve.hidden import Hidden

    return Hidden(Path(name))


def encoder_of(corpus: Corpus, name: str = "") -> Encoder:
    """The encoder of an index, from where it was or from `name`. Raises GenusError where that is another one."""
    made = corpus.encoder
    encoder = open_encoder(name or str(made["name"]))
    if encoder.sha256 != made["sha256"] or encoder.width != made["width"]:
        raise GenusError(
            f"the index was made with the encoder {made['name']} ({str(made['sha256'])[:12]}, {made['width']} wide), and "
            f"{encoder.name} is {encoder.sha256[:12]}, {encoder.width} wide; name the one it was made with, or index again"
        )
    return encoder


def read_by_encoder(passage: Passage) -> str:
    """What of a passage is encoded: its title, then its text."""
    return f"{passage.title}\n{passage.text}" if passage.title else passage.text
