"""`genus rank`"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from genus.align.feedback import Feedback
    from genus.align.rankings import Task

__all__ = ["rank"]


@dataclass(frozen=True, kw_only=True)
class _Flags:
    store: str = "feedback.db"
    """Where feedback is kept: a SQLite file, or a postgresql:// URL (pip install 'genus[postgres]')."""
    model: Path | None = None
    """A model folder that answers the prompts of --prompts, at temperature 1."""
    prompts: Path | None = None
    """Lines {"prompt": ...} for --model."""
    answers: int = 4
    """Answers of the model to each prompt."""
    max_tokens: int = 128
    """Tokens of each of them at most."""
    guideline: Path | None = None
    """A Markdown file that labellers are shown; each ranking keeps which version it was made by."""
    export: Path | None = None
    """Write the rankings into a .jsonl or .csv file, and end. Demonstrations stand in a file beside it."""
    labeller: str | None = None
    """Who ranks, where there are no --keys; by default your login's name."""
    keys: Path | None = None
    """A file of API keys with the labellers' names; `genus serve --keys FILE --new-key NAME` adds one."""
    no_keys: bool = False
    """Ask for no key; on this machine alone."""
    host: str = "127.0.0.1"
    """Where to listen; 127.0.0.1 is this machine alone. Elsewhere needs --keys."""
    port: int = 8000
    """The port; 0 takes any that is free."""


_USUAL = _Flags()


def rank(tasks: Path | None = None, /, *, flags: Annotated[_Flags, Parameter(name="*")] = _USUAL) -> None:
    """Open the page on which people rank answers, and keep what they say for reward models and DPO.

    Answers are shown without their authors and in an order of each labeller's own. Every click is saved.

    ```sh
    genus rank tasks.jsonl
    genus rank --model runs/demo/model --prompts prompts.jsonl --answers 4
    genus rank tasks.jsonl --guideline guideline.md --keys keys.txt --host 0.0.0.0
    genus rank --store postgresql://anna:secret@db/feedback
    genus rank --export rankings.jsonl
    ```

    Parameters
    ----------
    tasks
        Lines {"prompt": ..., "answers": [...]} to add, 2 to 9 answers each; those that are there already are left as they
        are. A prompt is a text or a list of messages.
    """
    from genus.align.feedback import Feedback
    from genus.align.files import read_tasks
    from genus.core.errors import GenusError

    if (flags.model is None) != (flags.prompts is None):
        raise GenusError("--model answers the prompts of --prompts; give both, or neither")
    if flags.export is not None:
        _export(Feedback.open(flags.store), flags.export)
        return
    from genus.serve.chosen import Chosen
    from genus.serve.start import access_of, start_desk

    chosen = Chosen(host=flags.host, port=flags.port, keys=flags.keys, no_keys=flags.no_keys, labeller=flags.labeller)
    access, new = access_of(chosen), [] if tasks is None else read_tasks(tasks)
    told = None if flags.guideline is None else _text(flags.guideline)
    feedback = Feedback.open(flags.store, new=bool(new) or flags.model is not None)
    if told is not None:
        feedback.set_guideline(told)
    if new:
        _add(feedback, new)
    if flags.model is not None:
        _sample(feedback, flags)
    if not feedback.task_ids():
        raise GenusError(f"{flags.store} holds no task yet; give a file of tasks, or --model and --prompts")
    start_desk(feedback, chosen, access)


def _add(feedback: "Feedback", new: Sequence["Task"]) -> None:
    from genus.core.progress import say

    added = feedback.add_tasks(new)
    known = len(new) - added
    say(f"{added} new tasks" + (f", {known} known already" if known else ""))


def _sample(feedback: "Feedback", flags: _Flags) -> None:
    """Tasks are added one by one: a command that is killed goes on where it was."""
    from genus.align.rankings import Task, digest_of
    from genus.align.sampled import sample
    from genus.core.progress import progress, say
    from genus.data.chats import read_prompts
    from genus.engine.model import load

    assert flags.model and flags.prompts
    asked = list({digest_of(prompt): prompt for prompt in read_prompts(flags.prompts)}.values())
    name = f"{flags.model.resolve()}, temperature 1, {flags.max_tokens} tokens"
    known = feedback.sampled(name)
    left = [prompt for prompt in asked if digest_of(prompt) not in known]
    if not left:
        say(f"the model has answered all {len(asked)} prompts before")
        return
    with progress("answers", len(left)) as update:
        found = sample(load(flags.model), name, left, flags.answers, flags.max_tokens)
        for done, each in enumerate(found, 1):
            if isinstance(each, Task):
                feedback.add_tasks([each])
            else:
                say(str(each))
            update(done, "")


def _export(feedback: "Feedback", path: Path) -> None:
    from genus.align.files import export
    from genus.core.progress import say

    count, beside = export(feedback, path)
    say(f"wrote {count} rankings to {path}" + (f", and demonstrations to {beside}" if beside else ""))
    found = feedback.agreement()
    if found is not None:
        say(
            f"labellers agree on {found.share:.1%} of {found.pairs} pairs in {found.tasks} tasks "
            f"(95% interval {found.low:.1%} to {found.high:.1%})"
        )


def _text(path: Path) -> str:
    from genus.core.errors import GenusError

    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GenusError(f"{path} cannot be read as a guideline ({error}); name a UTF-8 text file") from error
