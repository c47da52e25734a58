"""The form of a family: everything that differs between the models of the lineage, as data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from genus.core.errors import GenusError
from genus.models.initialise import Init
from genus.models.rules import Rule
from genus.models.spec import Activation, Attention, DecoderSpec, Experts, Llama3, Position, Rotary, Window, Yarn

__all__ = ["Family", "HfConfig", "Names", "Shape", "hf_activation", "hf_rotary", "hf_shape"]

Names = Mapping[str, tuple[str, int | float | None]]  # field of Shape -> key of config.json, and its class's default

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "relu2": "relu_squared",
    "silu": "silu",
    "swish": "silu",
    "quick_gelu": "quick_gelu",
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
    window: int | None = None
    stride: int | None = None
    experts: int | None = None
    per_token: int | None = None
    dropout: float = 0.0

    def spec(self, **parts: Any) -> DecoderSpec:
        """A spec of this shape with a family's `parts`."""
        sizes = {name: getattr(self, name) for name in ("vocab", "context", "width", "depth", "dropout")}
        return DecoderSpec(**sizes, **parts)

    def attention(self, **options: Any) -> Attention:
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
    sizes: Mapping[str, DecoderSpec]  # as published
    spec: Callable[[Shape], DecoderSpec]
    init: Callable[[DecoderSpec], Init]
    spec_from_hf: Callable[["HfConfig"], DecoderSpec]
    hf_from_spec: Callable[[DecoderSpec], dict[str, Any]]
    rules: tuple[Rule, ...]
    prefix: str = ""  # that older files leave out
    ignored: tuple[str, ...] = field(default=())  # dead buffers of older files
    aliases: Mapping[str, str] = field(default_factory=dict)  # a name in `rules` -> what older files call it


class HfConfig:
    """A config.json read with suspicion: every value is checked for its type, and a wrong one is named."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number of at least 1."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(key, value, "a whole number of at least 1")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """A finite number above 0 or equal to it."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise self.wrong(key, value, "a finite number of at least 0")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, value, "true or false")
        return value

    def activation(self, key: str, default: str) -> Activation:
        """A name that Hugging Face uses for an activation, in Genus's words."""
        value = self._value(key, default)
        if value not in _ACTIVATIONS:
            raise self.wrong(key, value, f"one of {', '.join(sorted(_ACTIVATIONS))}")
        return _ACTIVATIONS[value]

    def rotary(self, dim: int, base: float = 1e4) -> Rotary:
        """Rotary positions, as libraries of any age write them: rope_parameters, or rope_scaling beside rope_theta."""
        rope = self.values.get("rope_scaling") or self.values.get("rope_parameters") or {}  # as transformers: the older wins
        if not isinstance(rope, dict):
            raise self.wrong("rope_parameters", rope, "an object")
        # what the object does not say stands at the top of older files
        inner = HfConfig({"rope_theta": self.values.get("rope_theta"), **rope}, f"{self.where}: rope_parameters")
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind not in ("default", "llama3", "yarn"):
            raise inner.wrong("rope_type", kind, "default, llama3 or yarn")
        stretch: Llama3 | Yarn | None = None
        original = None if kind == "default" else inner.whole("original_max_position_embeddings")
        if kind == "llama3":
            stretch = Llama3(
                factor=inner.real("factor"),
                low=inner.real("low_freq_factor"),
                high=inner.real("high_freq_factor"),
                original=original or 0,
            )
        elif kind == "yarn":
            for unread in ("attention_factor", "mscale", "mscale_all_dim"):
                inner.only(unread, None)
            stretch = Yarn(
                factor=inner.real("factor"),
                slow=inner.real("beta_slow", 1.0),
                fast=inner.real("beta_fast", 32.0),
                original=original or 0,
                truncate=inner.flag("truncate", True),
            )
        return Rotary(dim=dim, base=inner.real("rope_theta", base), stretch=stretch)

    def shape(self, names: Names) -> Shape:
        """The shape, from keys that a family's files use."""
        found: dict[str, Any] = {}
        for name, (key, default) in names.items():
            if default is not None or self.values.get(key) is not None:
                read = self.real if name == "dropout" else self.whole
                found[name] = read(key, default)  # type: ignore[arg-type]
        return Shape(**found)

    def windows(self, key: str, kinds: Any, meanings: Mapping[str, Window], depth: int) -> tuple[Window, ...]:
        """One window a layer, from a name for each layer and what the names mean."""
        if not isinstance(kinds, list) or len(kinds) != depth or any(str(kind) not in meanings for kind in kinds):
            raise self.wrong(key, self.values.get(key), f"one of {', '.join(meanings)} for each of {depth} layers")
        return tuple(meanings[str(kind)] for kind in kinds)

    def only(self, key: str, *accepted: Any) -> None:
        """Refuse an option that would change the numbers and that no part of Genus computes. Absent is the first one."""
        value = self.values.get(key)
        if value is not None and value not in accepted:
            raise self.wrong(key, value, " or ".join(str(choice) for choice in accepted))

    def _value(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        if value is None and default is None:
            raise GenusError(f"{self.where} lacks {key!r}; a complete config.json names it")
        return default if value is None else value

    def wrong(self, key: str, value: Any, accepted: str) -> GenusError:
        """An error about one key, for whatever value it has."""
        return GenusError(f"{self.where} has {key} = {str(value)[:80]!r}, which Genus does not read; it reads {accepted}")


def hf_shape(spec: DecoderSpec, names: Names) -> dict[str, Any]:
    """The inverse of HfConfig.shape: config.json's keys for the shape of a spec."""
    values = {**vars(spec), **vars(spec.attention), "hidden": spec.each_mlp.hidden}
    values["window"] = next((window for window in spec.attention.windows if isinstance(window, int)), None)
    if isinstance(spec.mlp, Experts):
        values |= {"experts": spec.mlp.count, "per_token": spec.mlp.per_token}
    return {key: values[name] for name, (key, _) in names.items()}


def hf_rotary(position: Position) -> dict[str, Any]:
    """The inverse of HfConfig.rotary; rope_theta stands at the top too, for libraries older than rope_parameters."""
    if not isinstance(position, Rotary):
        return {}
    rope: dict[str, Any] = {"rope_theta": position.base, "rope_type": "default"}
    match position.stretch:
        case Llama3(factor=factor, low=low, high=high, original=original):
            rope |= {"rope_type": "llama3", "factor": factor, "original_max_position_embeddings": original}
            rope |= {"low_freq_factor": low, "high_freq_factor": high}
        case Yarn(factor=factor, slow=slow, fast=fast, original=original, truncate=truncate):
            rope |= {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
            rope |= {"beta_slow": slow, "beta_fast": fast, "truncate": truncate}
    return {"rope_theta": position.base, "rope_parameters": rope}


def hf_activation(spec: DecoderSpec) -> str:
    """The inverse of HfConfig.activation."""
    activation = spec.each_mlp.activation
    return {"gelu_tanh": "gelu_new", "relu_squared": "relu2"}.get(activation, activation)
