"""A chat template for models that have none, and what a template must do to be learned from.

Ours is ChatML, which every tool knows: <|im_start|>, the role, a line break, the text without blanks around it, <|im_end|>.
"""

from pathlib import Path

from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["TEMPLATE_KEY", "check_template", "give_template", "read_template", "template_warning"]

TEMPLATE_KEY = "genus_chat_template_sha256"
"""Where config.json keeps the template that a model was tuned with."""

_MARKS = ("<|im_start|>", "<|im_end|>")
_CHATML = """\
{%- if tools %}<|im_start|>system
Tools: {{ tools | tojson }}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ (message.content or "") | trim }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def give_template(tokenizer: Tokenizer, template: str | None = None) -> Tokenizer:
    """The tokenizer with `template`, or else with its own, or else with ours; ours may bring new ids.

    Raises GenusError for a template that cannot be learned from.
    """
    if template is not None:
        tokenizer = tokenizer.with_template(template)
    elif not tokenizer.chat_template:
        start = "".join(tokenizer.token_bytes(number).decode() for number in tokenizer.start)
        tokenizer = tokenizer.with_template(start + _CHATML, _MARKS)
    check_template(tokenizer)
    return tokenizer


def read_template(path: Path) -> str:
    """The text of a template's file."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GenusError(f"template: {path} cannot be read ({error}); name a file in Jinja") from error


def check_template(tokenizer: Tokenizer) -> None:
    """Raise GenusError for a template that does not say where an answer begins, or where it ends."""
    asked, answer = [{"role": "user", "content": "?"}], "ANSWER"
    plain, prompt = (tokenizer.render_chat(asked, add_generation_prompt=generation) for generation in (False, True))
    whole = tokenizer.render_chat([*asked, {"role": "assistant", "content": answer}], add_generation_prompt=False)
    if not whole.startswith(prompt):
        raise GenusError(
            "the chat template writes a prompt otherwise once it is answered, so that no answer is told apart; correct it"
        )
    if plain == prompt and not whole[len(prompt) :].lstrip().startswith(answer):
        raise GenusError(
            "the chat template has no generation prompt: add what begins the assistant's turn, under "
            "{% if add_generation_prompt %}...{% endif %}"
        )
    after = whole.rpartition(answer)[2]
    if not any((mark := tokenizer.token_bytes(end).decode()) and mark in after for end in tokenizer.turn_ends):
        raise GenusError(
            "the chat template writes no special token after an answer, so that a model would never learn to end; add one"
        )


def template_warning(folder: Path, tokenizer: Tokenizer) -> str | None:
    """One line where the model of a folder was tuned with another chat template than it has now; else None."""
    inner = folder / "model" / "config.json"  # a run's
    path = folder / "config.json" if (folder / "config.json").is_file() else inner
    values = read_json(path) if path.is_file() else {}
    tuned = values.get(TEMPLATE_KEY) if isinstance(values, dict) else None
    if not tuned or tuned == tokenizer.template_sha256:
        return None
    now = "its chat template was changed" if tokenizer.chat_template else "its chat template was removed"
    return (
        f"warning: {folder}: {now} since it was tuned; put back the chat_template.jinja it was tuned with, or tune it again"
    )
