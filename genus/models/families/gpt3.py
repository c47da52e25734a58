"""GPT-3 (OpenAI, 2020; arXiv 2005.14165). Against GPT-2: a hundred times the size, contexts of 2,048 tokens, and layers
that alternate between all of the past and a band of it, as the Sparse Transformer's. The weights were never released.

The band was never published either: 256, which GPT-Neo took, on every second layer. With `stride`, the layers between are
strided, which is the Sparse Transformer itself (arXiv 1904.10509). Two rows of the paper's table contradict themselves
(heads times their size is not the width); here are the readings that agree with the published counts.
"""

from dataclasses import replace
from typing import Any

from genus.models.family import Family, HfConfig, Names, Shape, hf_activation, hf_shape
from genus.models.initialise import Init
from genus.models.rules import OWN_NAMES
from genus.models.spec import DecoderSpec, Learned, Mlp, Norm, Strided, Window

_SIZES = {  # width, depth, heads
    "gpt3-small": (768, 12, 12),
    "gpt3-medium": (1024, 24, 16),
    "gpt3-large": (1536, 24, 16),
    "gpt3-xl": (2048, 24, 16),  # 24 heads in the paper
    "gpt3-2.7b": (2560, 32, 32),
    "gpt3-6.7b": (4096, 32, 32),
    "gpt3-13b": (5120, 40, 40),  # width 5140 in the paper
    "gpt3-175b": (12288, 96, 96),
}

_NAMES: Names = {
    "vocab": ("vocab_size", 50257),
    "context": ("max_position_embeddings", 2048),
    "width": ("hidden_size", 768),
    "depth": ("num_hidden_layers", 12),
    "heads": ("num_attention_heads", 12),
    "head_dim": ("head_dim", None),
    "hidden": ("intermediate_size", None),
    "dropout": ("hidden_dropout", 0.0),
}


def _spec(shape: Shape) -> DecoderSpec:
    band = shape.window or 256
    return shape.spec(
        norm=Norm(),
        position=Learned(),
        attention=shape.attention(windows=(band, Strided(stride=shape.stride)) if shape.stride else (None, band)),
        mlp=Mlp(hidden=shape.hidden or 4 * shape.width),
    )


def _init(spec: DecoderSpec) -> Init:
    return Init(matrix=0.02, residual=0.02 * (2 * spec.depth) ** -0.5, embed=0.02, position=0.01)  # as GPT-2


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    spec = _spec(config.shape(_NAMES))
    return replace(
        spec,
        norm=replace(spec.norm, eps=config.real("layer_norm_eps", 1e-5)),
        attention=replace(spec.attention, windows=_windows(config)),
        mlp=replace(spec.each_mlp, activation=config.activation("hidden_act", "gelu_new")),
        tied=config.flag("tie_word_embeddings", True),
    )


def _windows(config: HfConfig) -> tuple[Window, ...]:
    """[null, 256] is every second layer in a band of 256; {"stride": 128} is a strided layer."""
    said = config.values.get("windows", [None])
    found: list[Window] = []
    for window in said if isinstance(said, list) else [said]:
        match window:
            case None | int() if not isinstance(window, bool):
                found.append(window)
            case {"stride": int(stride)}:
                found.append(Strided(stride=stride))
            case _:
                raise config.wrong("windows", said, 'a list of null, numbers and {"stride": number}')
    return tuple(found)


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    def say(window: Window) -> Any:
        return {"stride": window.stride} if isinstance(window, Strided) else window

    return {
        **hf_shape(spec, _NAMES),
        "windows": [say(window) for window in spec.attention.windows],
        "hidden_act": hf_activation(spec),
        "layer_norm_eps": spec.norm.eps,
        "tie_word_embeddings": spec.tied,
    }


FAMILY = Family(
    name="gpt3",
    title="GPT-3 (2020)",
    model_type="gpt3",
    architecture="GenusForCausalLM",
    sizes={
        name: _spec(Shape(vocab=50257, context=2048, width=width, depth=depth, heads=heads))
        for name, (width, depth, heads) in _SIZES.items()
    },
    spec=_spec,
    init=_init,
    spec_from_hf=_spec_from_hf,
    hf_from_spec=_hf_from_spec,
    rules=OWN_NAMES,
)
