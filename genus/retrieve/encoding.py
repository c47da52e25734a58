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
        raise GenusError(
            f"encoder {name} is neither minilm nor a model folder; name one, to genus index by --encoder if it was moved"
        )
    from genus.retrieve.hidden import Hidden

    return Hidden(Path(name))


def encoder_of(corpus: Corpus) -> Encoder:
    """The encoder of an index, from where it was. Raises GenusError where none is there, or another one."""
    made = corpus.encoder
    encoder = open_encoder(str(made["name"]))
    if encoder.sha256 != made["sha256"] or encoder.width != made["width"]:
        raise GenusError(
            f"the index was made with the encoder {made['name']} ({str(made['sha256'])[:12]}, {made['width']} wide), and "
            f"{encoder.name} is {encoder.sha256[:12]}, {encoder.width} wide; bring the first back, or index again"
        )
    return encoder


def read_by_encoder(passage: Passage) -> str:
    """What of a passage is encoded: its title, then its text."""
    return f"{passage.title}\n{passage.text}" if passage.title else passage.text
