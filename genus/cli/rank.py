"""`genus rank`"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genus.align.feedback import Feedback
    from genus.align.records import Task

__all__ = ["rank"]


def rank(
    tasks: Path | None = None,
    /,
    *,
    store: str = "feedback.db",
    model: Path | None = None,
    prompts: Path | None = None,
    answers: int = 4,
    max_tokens: int = 128,
    guideline: Path | None = None,
    export: Path | None = None,
    labeller: str | None = None,
    keys: Path | None = None,
    no_keys: bool = False,
    host: str = "127.0.0.1",
    port: int = 8000,
) -> None:
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
        Lines {"prompt": …, "answers": […]} to add, 2 to 9 answers each; those that are there already are left as they are.
        A prompt is a text or a list of messages.
    store
        Where feedback is kept: a SQLite file, or a postgresql:// URL (pip install 'genus[postgres]').
    model
        A model folder that answers the prompts of --prompts, at temperature 1.
    prompts
        Lines {"prompt": …} for --model.
    answers
        Answers of the model to each prompt.
    max_tokens
        Tokens of each of them at most.
    guideline
        A Markdown file that labellers are shown; each ranking keeps which version it was made by.
    export
        Write the rankings into a .jsonl or .csv file, and end. Demonstrations stand in a file beside it.
    labeller
        Who ranks, where there are no --keys; by default your login's name.
    keys
        A file of API keys with the labellers' names; `genus serve --keys FILE --new-key NAME` adds one.
    no_keys
        Ask for no key; on this machine alone.
    host
        Where to listen; 127.0.0.1 is this machine alone. Elsewhere needs --keys.
    port
        The port; 0 takes any that is free.
    """
    from genus.align.feedback import Feedback
    from genus.align.files import read_tasks
    from genus.core.errors import GenusError
    from genus.core.progress import say
    from genus.serve.chosen import Chosen

    if (model is None) != (prompts is None):
        raise GenusError("--model answers the prompts of --prompts; give both, or neither")
    if export is not None:
        _export(Feedback.open(store), export)
        return
    from genus.serve.start import access_of, start_desk

    chosen = Chosen(host=host, port=port, keys=keys, no_keys=no_keys, labeller=labeller)
    access, new = access_of(chosen), [] if tasks is None else read_tasks(tasks)
    told = None if guideline is None else _text(guideline)
    feedback = Feedback.open(store, new=True)
    if told is not None:
        say(f"the guideline's version is {feedback.set_guideline(told)[:12]}")
    if new:
        _add(feedback, new)
    if model is not None and prompts is not None:
        _sample(feedback, model, prompts, answers, max_tokens)
    if not feedback.task_ids():
        raise GenusError(f"{store} holds no task yet; give a file of tasks, or --model and --prompts")
    start_desk(feedback, chosen, access)


def _add(feedback: "Feedback", new: Sequence["Task"]) -> None:
    from genus.core.progress import say

    added = feedback.add_tasks(new)
    known = len(new) - added
    say(f"{added} new tasks" + (f", {known} known already" if known else ""))


def _sample(feedback: "Feedback", folder: Path, prompts: Path, answers: int, max_tokens: int) -> None:
    """Tasks are added one by one: a command that is killed goes on where it was."""
    from genus.align.files import read_prompts
    from genus.align.records import Task, digest_of
    from genus.align.sampled import sample
    from genus.core.progress import progress, say
    from genus.engine.model import load

    asked = read_prompts(prompts)
    name = f"{folder.resolve()}, temperature 1, {max_tokens} tokens"
    known = feedback.sampled(name)
    left = [prompt for prompt in asked if digest_of(prompt) not in known]
    if not left:
        say(f"the model has answered all {len(asked)} prompts before")
        return
    with progress("answers", len(left)) as update:
        for done, found in enumerate(sample(load(folder), name, left, answers, max_tokens), 1):
            if isinstance(found, Task):
                feedback.add_tasks([found])
            else:
                say(str(found))
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
