"""What an index is: its format and the encoder of its vectors, checked before anything else of it is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genus.core.errors import GenusError

__all__ = ["FORMAT", "Encoding", "Manifest", "encoder_facts", "same_encoder"]

FORMAT = 2
Encoding = Mapping[str, str | int]


@dataclass(frozen=True)
class Manifest:
    """Which table or collection holds the passages; `stale` where it also holds deleted ones, until it is rewritten."""

    encoder: Encoding
    table: str
    stale: bool = False

    def content(self) -> dict[str, Any]:
        """As JSON."""
        return {"genus_index": FORMAT, "encoder": dict(self.encoder), "table": self.table, "stale": self.stale}

    @classmethod
    def read(cls, content: Any, place: str) -> "Manifest":
        """Raises GenusError for what is no manifest, or of another format."""
        match content:
            case {"genus_index": int(version)} if version > FORMAT:
                raise GenusError(
                    f"{place} was made by a newer Genus (format {version}; this one reads {FORMAT}); update Genus"
                )
            case {"genus_index": int(version)} if version < FORMAT:
                raise GenusError(f"{place} was made by an older Genus (format {version}); make it again with genus index")
            case {"genus_index": int(), "encoder": dict(encoder), "table": str(table), "stale": bool(stale)}:
                return cls(encoder_facts(encoder, place), table, stale)
        raise GenusError(f"{place} is no index of Genus, or a damaged one; make it again with genus index")

    def expect(self, encoder: Encoding | None, place: str) -> None:
        """Raises GenusError where the index was made with another encoder than this."""
        if encoder is not None and not same_encoder(encoder, self.encoder):
            raise GenusError(
                f"{place} was made with the encoder {_named(self.encoder)}, not with {_named(encoder)}; "
                f"search it with its own, or make another index"
            )


def encoder_facts(encoder: Mapping[str, Any], place: str = "the encoder") -> Encoding:
    """The name, sha256 and width of an encoder, checked."""
    match encoder:
        case {"name": str(name), "sha256": str(digest), "width": int(width)} if 0 < width <= 32_768 and len(encoder) == 3:
            return {"name": name, "sha256": digest, "width": width}
    raise GenusError(f"{place} does not say its encoder's name, sha256 and width; make the index again with genus index")


def same_encoder(one: Encoding, other: Encoding) -> bool:
    """Whether both make the same vectors. The name may differ: of a model folder it is where that lies."""
    return (one["sha256"], one["width"]) == (other["sha256"], other["width"])


def _named(encoder: Encoding) -> str:
    return f"{encoder['name']} ({encoder['width']} numbers, {str(encoder['sha256'])[:12]})"
