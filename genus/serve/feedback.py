"""The labellers' desk: tasks as each labeller may see them, and what they say of them, into the feedback store.

A labeller is known by the key of the request, and sees no author of an answer and nothing that another labeller wrote.
"""

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from genus.align.blind import ranking_of, ranks_of, task_order, unshuffled, with_order
from genus.align.feedback import Feedback, TakenError, UnknownError
from genus.align.rankings import FLAGS, LONGEST, LONGEST_COMMENT, MOST, Ranking, Task, Thumb
from genus.align.store import BusyError, FullError, StoreError
from genus.core.errors import GenusError
from genus.data.comparisons import Demonstration
from genus.serve.errors import ApiError

__all__ = ["Desk", "login_name"]

_WAIT = 2.0  # seconds after which a client may ask a busy store again
Given = TypeVar("Given")
_Answer = Annotated[str, Field(max_length=LONGEST)]
_Prompt = _Answer | Annotated[list[dict[str, _Answer]], Field(max_length=1000)]
_Source = Annotated[str, Field(max_length=1000)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    labeller: Annotated[str, Field(max_length=100)] | None = None
    """Who the page believes to be; what is said under another key is refused."""
    guideline: Annotated[str, Field(max_length=64)] | None = None
    """The version of the guideline that was shown."""


class RankingBody(_Body):
    """POST /genus/feedback/tasks/ID: all that is said of a task so far. Answers are named by their places on the page."""

    ranking: Annotated[list[Annotated[list[int], Field(max_length=MOST)]], Field(max_length=MOST)]
    overall: Annotated[list[int | None], Field(max_length=MOST)]
    flags: Annotated[list[Annotated[list[str], Field(max_length=len(FLAGS))]], Field(max_length=MOST)]
    comment: Annotated[str, Field(max_length=LONGEST_COMMENT)] = ""
    seconds: Annotated[float, Field(ge=0, le=10**7)] = 0.0
    skip: bool = False
    submit: bool = False


class DemonstrationBody(_Body):
    """POST /genus/feedback/demonstrations: an answer of the labeller's own."""

    prompt: _Prompt
    answer: _Answer


class ThumbBody(_Body):
    """POST /genus/feedback/thumbs: what the playground's reader thinks of a text."""

    prompt: _Prompt
    answer: _Answer
    model: _Source = ""
    thumb: Literal[-1, 0, 1]


class PreferenceBody(_Body):
    """POST /genus/feedback/preferences: which of some texts is best; null where they are alike."""

    prompt: _Prompt
    answers: Annotated[list[_Answer], Field(min_length=2, max_length=MOST)]
    models: Annotated[list[_Source], Field(max_length=MOST)] = []
    preferred: Annotated[int, Field(ge=0, lt=MOST)] | None


class Desk:
    """One store for a server's labellers. `labeller` is who asks where keys have no names of people."""

    def __init__(self, feedback: Feedback, labeller: str | None) -> None:
        self.feedback, self.labeller = feedback, labeller
        self._threads = ThreadPoolExecutor(4, "feedback")  # a store that waits for another program holds up nothing else
        home = "/genus/feedback"
        self.gets: list[tuple[str, Callable[[Request], Awaitable[Any]]]] = [
            (home, self.overview),
            (f"{home}/agreement", self.agreement),
            (f"{home}/tasks/{{task}}", self.task),
        ]
        self.posts: list[tuple[str, type[BaseModel], Callable[[Request, Any], Awaitable[Any]]]] = [
            (f"{home}/tasks/{{task}}", RankingBody, self.rank),
            (f"{home}/demonstrations", DemonstrationBody, self.demonstrate),
            (f"{home}/thumbs", ThumbBody, self.thumb),
            (f"{home}/preferences", PreferenceBody, self.prefer),
        ]

    async def overview(self, http: Request) -> dict[str, Any]:
        """Who asks, the tasks in their order with how far each is, and what labellers are told."""
        name = self._who(http)
        return await self._do(lambda: self._overview(name))

    async def agreement(self, _: Request) -> dict[str, Any]:
        """How far labellers agree; null before two of them ordered the same pair."""
        found = await self._do(self.feedback.agreement)
        return {"agreement": None if found is None else found._asdict()}

    async def task(self, http: Request) -> dict[str, Any]:
        """One task as this labeller sees it, with what they said of it last."""
        name, number = self._who(http), _number(http)
        return await self._do(lambda: self._task(name, number))

    async def rank(self, http: Request, body: RankingBody) -> dict[str, Any]:
        """Save what a labeller says of a task."""
        name, number = self._who(http, body.labeller), _number(http)
        return {"saved": await self._do(lambda: self._rank(name, number, body))}

    async def demonstrate(self, http: Request, body: DemonstrationBody) -> dict[str, Any]:
        """Save an answer of the labeller's own."""
        name = self._who(http, body.labeller)

        def save() -> int:
            said = Demonstration(body.prompt, body.answer, name)
            self.feedback.demonstrate(said, self._guideline(body))
            return self.feedback.demonstrated(name)

        return {"demonstrations": await self._do(save)}

    async def thumb(self, http: Request, body: ThumbBody) -> dict[str, Any]:
        """Save a thumb."""
        said = Thumb(body.prompt, body.answer, body.model, body.thumb, self._who(http, body.labeller))
        await self._do(lambda: self.feedback.thumb(said))
        return {"thumb": body.thumb}

    async def prefer(self, http: Request, body: PreferenceBody) -> dict[str, Any]:
        """Save which of some texts was preferred."""
        name, count = self._who(http, body.labeller), len(body.answers)
        if body.preferred is not None and body.preferred >= count:
            raise ApiError(
                400, f"preferred = {body.preferred} names none of the {count} answers", "invalid_value", "preferred"
            )
        ranks = tuple(1 if body.preferred in (None, place) else 2 for place in range(count))
        task = Task(body.prompt, tuple(body.answers), tuple(body.models))
        said = Ranking(0, name, ranks, (None,) * count, ((),) * count, submitted=True)
        return {"saved": await self._do(lambda: self.feedback.prefer(task, said))}

    def _overview(self, name: str) -> dict[str, Any]:
        states, told = self.feedback.states(name), self.feedback.guideline()
        order = task_order(name, self.feedback.task_ids())
        return {
            "open": True,
            "labeller": name,
            "tasks": [[task, states.get(task, "open")] for task in order],
            "demonstrations": self.feedback.demonstrated(name),
            "guideline": None if told is None else {"digest": told[0], "text": told[1]},
            "flags": FLAGS,
        }

    def _task(self, name: str, number: int) -> dict[str, Any]:
        task, ranking = self.feedback.task(number), self.feedback.ranking(number, name)
        order = with_order(name, number, len(task.answers))
        said = {"id": number, "prompt": task.prompt, "answers": [task.answers[answer] for answer in order]}
        return said | {"record": None if ranking is None else _shown(ranking, order)}

    def _rank(self, name: str, number: int, body: RankingBody) -> int:
        count = len(self.feedback.task(number).answers)
        order = with_order(name, number, count)

        def by_answer(field: str, values: Sequence[Any]) -> tuple:
            if len(values) != count:
                raise GenusError(f"{field} has {len(values)} entries and the task {count} answers; give one for each")
            return unshuffled(order, values)

        return self.feedback.save(
            Ranking(
                number,
                name,
                by_answer("ranking", ranks_of(body.ranking, count)),
                by_answer("overall", body.overall),
                by_answer("flags", [tuple(each) for each in body.flags]),
                body.comment,
                body.seconds,
                body.skip,
                body.submit,
                self._guideline(body),
            )
        )

    def _guideline(self, body: _Body) -> str | None:
        """The version that the labeller saw, which must be one that there was; without a word, the one of now."""
        if body.guideline is not None:
            if not self.feedback.has_guideline(body.guideline):
                raise GenusError("guideline is no version that labellers were told; reload the page")
            return body.guideline
        told = self.feedback.guideline()
        return None if told is None else told[0]

    def _who(self, http: Request, believed: str | None = None) -> str:
        """The labeller. Raises ApiError 403 for what is meant to stand under the name of another."""
        name: str = self.labeller or http.state.log["key"]
        if believed not in (None, name):
            raise ApiError(
                403, f"this key is of {name}, and only {name}'s records are open to it; reload the page", "not_yours"
            )
        return name

    async def _do(self, ask: Callable[[], Given]) -> Given:
        """Ask the store, off the server's loop. Raises ApiError."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except GenusError as error:
            raise _as_answer(error) from error


def login_name() -> str:
    """Who is at this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:  # an account without a name, as in some containers
        raise GenusError("your login has no name; say who ranks with --labeller NAME") from error


def _shown(ranking: Ranking, order: Sequence[int]) -> dict[str, Any]:
    """A labeller's own ranking by places on their page."""
    return {
        "ranking": ranking_of([ranking.ranks[answer] for answer in order]),
        "overall": [ranking.overall[answer] for answer in order],
        "flags": [ranking.flags[answer] for answer in order],
        "comment": ranking.comment,
        "seconds": ranking.seconds,
        "state": "done" if ranking.submitted else "skipped" if ranking.skipped else "begun",
    }


def _number(http: Request) -> int:
    said = http.path_params["task"]
    if not said.isascii() or not said.isdigit() or len(said) > 15:
        raise ApiError(404, f"there is no task {said[:20]!r} here; reload the page", "task_not_found")
    return int(said)


def _as_answer(error: GenusError) -> ApiError:
    match error:
        case TakenError():
            return ApiError(409, str(error), "already_submitted")
        case UnknownError():
            return ApiError(404, str(error), "task_not_found")
        case BusyError():
            return ApiError(503, str(error), "store_busy", wait=_WAIT)
        case FullError():
            return ApiError(507, str(error), "disk_full")
        case StoreError():
            return ApiError(500, str(error), "store_failed")
    return ApiError(400, str(error), "invalid_value", str(error).split(" ")[0].split("[")[0])
