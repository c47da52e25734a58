"""The command table, and everything that commands share: recipes under flags, errors as one sentence, exit codes.

Commands are imported when they are used, so that `genus --help` answers at once.
Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.
"""

import dataclasses
import difflib
import os
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial, reduce
from importlib import import_module
from pathlib import Path
from typing import Any, get_origin

from cyclopts import App, CycloptsError, Parameter, UnknownOptionError
from cyclopts.config import Dict

from genus.core.errors import GenusError, Stopped
from genus.core.progress import set_quiet
from genus.core.recipe import read_recipe

__all__ = ["COMMANDS", "STAGES", "bind_stage", "main", "make_app"]

STAGES = {
    "corpus": "Read a folder of text, or the packaged one, into documents.",
    "tokenizer": "Learn a vocabulary from a corpus.",
    "shards": "Turn a corpus into memory-mapped tokens.",
    "pretrain": "Train a model from random weights on shards.",
    "tune": "Tune a model on a task: classification, entailment, similarity or choice.",
    "instruct": "Make instructions, with answers, of a corpus.",
    "sft": "Tune a model on conversations, on the answers alone.",
    "judge": "Let a program rank a model's answers, or compare several models.",
    "reward": "Learn what people prefer, from their rankings of answers.",
    "dpo": "Learn from comparisons of answers directly.",
    "ppo": "Learn to please a reward model.",
    "grpo": "Learn from answers that a program can check.",
    "evaluate": "Measure bits per byte on held-out text, beside references.",
    "report": "Write one page that shows what was made from what.",
}
COMMANDS = {
    "demo": "Make a GPT that answers, from the packaged text or your own, in under ten minutes.",
    "run": "Execute a folder of stage recipes in order, skipping what is done.",
    **STAGES,
    "export": "Write a checkpoint of a run as a model folder.",
    "plan": "Say what a run needs before it starts: memory, layout, time, energy, cost.",
    "generate": "Continue a text.",
    "chat": "Talk with a model in the terminal.",
    "rank": "Open the page on which people rank answers, and keep what they say.",
    "index": "Index documents, to be found by words and by meaning.",
    "search": "Find passages of an index.",
    "answer": "Answer a question from an index, each sentence with its passage.",
    "cite": "Check whether the sources of a document bear it out, and list better ones.",
    "serve": "Serve models by OpenAI's API, with pages to play, compare and chat.",
    "models": "List the families, or describe one model: its parts, memory and arithmetic.",
    "inspect": "Show an example token by token, and what is learned of it.",
    "doctor": "Check a recipe before it costs anything.",
    "compare": "Explain how two models differ, field by field.",
    "verify": "Prove that a model folder survives a save, and that transformers reads it alike.",
    "import": "Make a model folder from a package, the hub, a GGUF file, an archive or a folder.",
}
_OWN = {"corpus": ("explain", "plan"), "report": ("note",)}  # commands of commands
_EPILOGUE = (
    "Start with: genus demo. Any stage: genus STAGE recipe.toml --field.name value. A killed command goes on when repeated."
)


def make_app(described: Collection[str] = ()) -> App:
    """The application with every command. Those `described` are imported for their own help; the rest say one line."""
    app = App(
        name="genus",
        help="The open GPT family: from a folder of text to a GPT that you own.",
        help_epilogue=_EPILOGUE,
        help_format="plaintext",  # rendering Markdown would cost `genus --help` 50 ms
        version=_version,
        default_parameter=Parameter(negative=()),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for place, (name, text) in enumerate(COMMANDS.items()):
        function = "import_" if name == "import" else name
        line = None if name in described else text
        home = f"genus.cli.{function}:{function}"
        app.command(home, name=name, help=line, sort_key=place, help_format="markdown")
    for name in described:  # to give a command one of its own is to import it
        for line in _OWN.get(name, ()):
            # named here: of a bare function, docs/cli.md would show the program that writes the page
            own = App(name=line, help_format="markdown")
            own.default(getattr(import_module(f"genus.cli.{name}"), line))
            app[name].command(own)
    return app


def main() -> None:
    """The `genus` command."""
    sys.exit(_run(sys.argv[1:]))


def bind_stage(stage: str, values: dict[str, Any], source: str) -> tuple[Callable[..., None], Any]:
    """A stage ready to be called, and its resolved recipe, from the values of a recipe file called `source`.

    The call takes the stage's flags that are not of the recipe, such as `restart`.
    """
    app = make_app()
    app.config = (Dict({stage: values}, source=source), _check_types)
    command, bound, _ = app.parse_args([stage])
    return partial(command, *bound.args, **bound.kwargs), bound.arguments["config"]


def _run(arguments: Sequence[str]) -> int:
    debug, quiet = "--debug" in arguments, "--quiet" in arguments
    arguments = [argument for argument in arguments if argument not in ("--debug", "--quiet")]
    set_quiet(quiet)
    try:
        _dispatch(arguments)
    except Exception as error:
        if debug:
            raise
        return _explain(error, arguments)
    except KeyboardInterrupt:
        print("\ngenus: interrupted; the same command starts it again", file=sys.stderr)
        return 130
    return 0


def _dispatch(arguments: list[str]) -> None:
    app = make_app(described=arguments[:1])
    app.config = (_check_types,)
    own = _OWN.get(arguments[0], ()) if len(arguments) > 1 else ()
    if own and arguments[1] not in own and (near := difflib.get_close_matches(arguments[1], own, 1, cutoff=0.7)):
        raise CycloptsError(msg=f"{arguments[1]} is no command of {arguments[0]}. Did you mean {near[0]}?")
    if len(arguments) > 1 and arguments[0] in STAGES and arguments[1].endswith(".toml"):
        stage, recipe = arguments[0], arguments.pop(1)
        values = read_recipe(Path(recipe))
        app.config = (partial(_fill_tables, values), Dict({stage: values}, source=recipe), _check_types)
    app(arguments)


def _explain(error: Exception, arguments: Sequence[str]) -> int:
    """Say what went wrong in a sentence; give the exit code."""
    command = f"genus {arguments[0]}" if arguments and arguments[0] in COMMANDS else "genus"
    match error:
        case CycloptsError():
            sentence, code = f"{_wrong_use(error)} See `{command} --help`.", 2
        case Stopped():
            sentence, code = str(error), 130
        case GenusError():
            sentence, code = str(error), 1
        case BrokenPipeError():  # the reader of our output, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case _:
            detail = f"{type(error).__name__}: {error}"
            sentence, code = f"{detail} (a defect of Genus; `--debug` shows where, please report it)", 1
    print(f"{command}: {sentence}", file=sys.stderr)
    return code


def _wrong_use(error: CycloptsError) -> str:
    """Cyclopts's sentence, with the nearest field where it found none near enough."""
    sentence = " ".join(str(error).split())
    if (
        isinstance(error, UnknownOptionError)
        and "Did you mean" not in sentence
        and error.token
        and error.argument_collection
    ):
        asked = (error.token.keyword or "").strip("[]").replace("][", ".").removeprefix("--")
        fields = [name for argument in error.argument_collection for name in argument.names if name.startswith("--")]
        near = difflib.get_close_matches(f"--{asked}", fields, 1, cutoff=0.4)
        sentence += f" Did you mean {near[0]}?" if near else ""
    if error.argument and error.argument.name not in sentence and "[" not in sentence:
        sentence = f"{error.argument.name}: {sentence}"
    return sentence if sentence.endswith((".", "?")) else f"{sentence}."


def _check_types(_app: App, _commands: tuple[str, ...], arguments: Any) -> None:
    """What the parser would bend to fit: 2.5 for a whole number, a bare value for a table, a name with a dot for two."""
    for argument in arguments:
        if get_origin(argument.hint) is dict:
            argument.tokens[:] = [token.evolve(keys=_name(token)) for token in argument.tokens]
        for token in argument.tokens:
            empty = argument.hint == tuple[int, ...] and not token.value  # the list [] arrives as ""
            if argument.hint in (int, int | None, tuple[int, ...]) and not (empty or _is_whole(token.value)):
                raise GenusError(f"{_place(token)} = {token.value} is not a whole number; correct it")
            if dataclasses.is_dataclass(argument.hint):
                raise GenusError(f"{_place(token)} = {token.value} should be a table of fields, such as [optim] lr = 0.001")


def _name(token: Any) -> tuple[str, ...]:
    """Of an entry of a table, whole: a licence such as Apache-2.0 is no table Apache-2."""
    return (".".join(token.keys),)[: len(token.keys)]


def _fill_tables(values: dict[str, Any], _app: App, _commands: tuple[str, ...], arguments: Any) -> None:
    """A flag for one name of a table, such as --mixture.weights.web 2, leaves the recipe's other names as they are."""
    for argument in arguments:
        if get_origin(argument.hint) is dict and argument.tokens:
            table = reduce(lambda found, key: found.get(key) or {}, argument.keys, values)
            given = {_name(token) for token in argument.tokens}
            left = {name: value for name, value in table.items() if (name,) not in given}
            argument.tokens += [argument.tokens[0].evolve(keys=(name,), value=str(value)) for name, value in left.items()]


def _is_whole(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _place(token: Any) -> str:
    """The field's path: optim.lr, with the file where it stands in one."""
    path = (token.keyword or "").strip("[]").replace("][", ".")
    return path if token.source == "cli" else f"{token.source}: {path}"


def _version() -> str:
    from importlib.metadata import version

    return version("genus")


if __name__ == "__main__":  # torchrun -m genus.cli.main
    main()
