"""The form of a family: everything that differs between the models of the lineage, as data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from genus.core.errors import GenusError
from genus.models.initialise import Init
from genus.models.rules import Rule
from genus.models.spec import Activation, Attention, DecoderSpec

__all__ = ["Family", "HfConfig", "Names", "Shape", "hf_activation", "hf_shape"]

Names = Mapping[str, tuple[str, int | float | None]]  # field of Shape -> key of config.json, and its class's default

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a user chooses of a model; the family decides the rest. None leaves that to it too."""

    vocab: int
    context: int
    width: int
    depth: int
    heads: int
    kv_heads: int | None = None
    head_dim: int | None = None
    hidden: int | None = None
    dropout: float = 0.0

    def spec(self, **parts: Any) -> DecoderSpec:
        """A spec of this shape with a family's `parts`."""
        sizes = {name: getattr(self, name) for name in ("vocab", "context", "width", "depth", "dropout")}
        return DecoderSpec(**sizes, **parts)

    def attention(self, **options: bool) -> Attention:
        """Attention of this shape. Raises GenusError when the heads do not divide the width."""
        size = self.head_dim or _head_dim(self.width, self.heads)
        return Attention(heads=self.heads, kv_heads=self.kv_heads or self.heads, head_dim=size, **options)


def _head_dim(width: int, heads: int) -> int:
    """The size of a head. Raises GenusError, with near numbers that would do, when `heads` does not divide `width`."""
    if heads < 1 or width % heads:
        divisors = [number for number in range(1, min(width, 1024) + 1) if width % number == 0]
        near = sorted(sorted(divisors, key=lambda number: abs(number - heads))[:3])
        raise GenusError(f"heads = {heads} does not divide width = {width}; choose one of {near}")
    return width // heads


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture family. `rules` and `ignored` name tensors as its files do, `{i}` standing for the layer."""

    name: str
    title: str
    model_type: str  # of config.json
    architecture: str  # the class that other libraries open it with
    sizes: Mapping[str, Shape]
    spec: Callable[[Shape], DecoderSpec]
    init: Callable[[DecoderSpec], Init]
    spec_from_hf: Callable[["HfConfig"], DecoderSpec]
    hf_from_spec: Callable[[DecoderSpec], dict[str, Any]]
    rules: tuple[Rule, ...]
    prefix: str = ""  # that older files leave out
    ignored: tuple[str, ...] = field(default=())  # dead buffers of older files


class HfConfig:
    """A config.json read with suspicion: every value is checked for its type, and a wrong one is named."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number of at least 1."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._wrong(key, value, "a whole number of at least 1")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """A finite number above 0 or equal to it."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise self._wrong(key, value, "a finite number of at least 0")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def activation(self, key: str, default: str) -> Activation:
        """A name that Hugging Face uses for an activation, in Genus's words."""
        value = self._value(key, default)
        if value not in _ACTIVATIONS:
            raise self._wrong(key, value, f"one of {', '.join(sorted(_ACTIVATIONS))}")
        return _ACTIVATIONS[value]

    def shape(self, names: Names) -> Shape:
        """The shape, from keys that a family's files use."""
        found: dict[str, Any] = {}
        for name, (key, default) in names.items():
            if default is not None or self.values.get(key) is not None:
                read = self.real if name == "dropout" else self.whole
                found[name] = read(key, default)  # type: ignore[arg-type]
        return Shape(**found)

    def only(self, key: str, *accepted: Any) -> None:
        """Refuse an option that would change the numbers and that no part of Genus computes. Absent is the first one."""
        value = self._value(key, accepted[0])
        if value not in accepted:
            raise self._wrong(key, value, " or ".join(str(choice) for choice in accepted))

    def _value(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        if value is None and default is None:
            raise GenusError(f"{self.where} lacks {key!r}; a complete config.json names it")
        return default if value is None else value

    def _wrong(self, key: str, value: Any, accepted: str) -> GenusError:
        return GenusError(f"{self.where} has {key} = {str(value)[:80]!r}, which Genus does not read; it reads {accepted}")


def hf_shape(spec: DecoderSpec, names: Names) -> dict[str, Any]:
    """The inverse of HfConfig.shape: config.json's keys for the shape of a spec."""
    values = {**vars(spec), **vars(spec.attention), "hidden": spec.mlp.hidden}
    return {key: values[name] for name, (key, _) in names.items()}


def hf_activation(spec: DecoderSpec) -> str:
    """The inverse of HfConfig.activation."""
    return {"gelu_tanh": "gelu_new"}.get(spec.mlp.activation, spec.mlp.activation)
