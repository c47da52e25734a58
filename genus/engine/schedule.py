"""Who reads which tokens in the next step. No tensors, no text, no clock here.

Each step has a budget of tokens. Those who generate come first, a token each and what they guess; what is left reads prompts
piece by piece, the oldest first, as far as it may slow those who generate. A newcomer is admitted when the cache can promise
it all the pages that it may ever need; so nobody who was admitted has to stop. With `optimistic`, only its prompt's pages
must be there, and when pages run out, the youngest starts over later, with equal results.
"""

import math
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from genus.core.errors import GenusError
from genus.engine.pages import Cache, Table
from genus.engine.request import Request

__all__ = ["Branch", "Limits", "Pace", "Scheduler", "Work"]

_HICCUP = 10  # times as long as usual: no more is owed, as then the machine itself was held up


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much the engine takes on at once."""

    budget: int = 512
    """Tokens that a step reads at most."""
    beside: int = 5
    """Tokens for each prompt that waits to be read that a step reads at most while others generate."""
    slowing: float = 0.15
    """By how much each prompt that waits may slow those who generate, on average; `math.inf` reads with each step."""
    most: int = 64
    """Choices that are generated at once."""
    optimistic: bool = False
    """Admit by the prompt alone, and let the youngest start over when pages run out."""

    def __post_init__(self) -> None:
        if not (1 <= self.beside <= self.budget and 1 <= self.most <= self.budget):
            raise GenusError(
                f"beside = {self.beside} and most = {self.most} must lie from 1 to budget = {self.budget}; correct them"
            )
        if not self.slowing > 0:
            raise GenusError(f"slowing = {self.slowing} must be above 0, or prompts would wait for ever; correct it")


class Pace:
    """Whether a step may read prompts beside those who generate: not before what that took last time is made up for.

    The results do not depend on it, so it may go by the time that steps take.
    """

    def __init__(self, slowing: float) -> None:
        self.slowing = slowing
        self._alone: float | None = None  # seconds of a step that only generates, the latest counting half
        self._owed = 0.0  # seconds

    @property
    def may_read(self) -> bool:
        """Whether nothing is owed. The first step only generates, to learn how long that takes."""
        return self.slowing == math.inf or (self._alone is not None and self._owed <= 0)

    def took(self, seconds: float, waiting: int, read: bool) -> None:
        """A step in which some generated took so long, and read of the `waiting` prompts or did not."""
        if not read:
            self._alone = seconds if self._alone is None else (self._alone + seconds) / 2
        alone = seconds if self._alone is None else self._alone
        more = min(max(0.0, seconds - alone), _HICCUP * alone) if read else 0.0
        self._owed = max(0.0, self._owed + more - min(self.slowing, _HICCUP) * waiting * alone)


@dataclass(eq=False)
class Branch:
    """One of a request's choices in the making. `tokens` are the prompt and what was said; `computed` of them are cached."""

    number: int
    request: Request
    choice: int
    tokens: list[int]
    computed: int = 0
    table: Table | None = None
    guesses: list[int] = field(default_factory=list)  # what may come next, to be read along (engine/guess.py)
    forked: bool = False  # the other choices of the request are there

    @property
    def said(self) -> Sequence[int]:
        """Tokens after the prompt."""
        return self.tokens[len(self.request.prompt) :]

    @property
    def generating(self) -> bool:
        """Whether only the newest token is still to be read."""
        return self.computed == len(self.tokens) - 1 and len(self.tokens) > len(self.request.prompt)


@dataclass(frozen=True, eq=False)
class Work:
    """Read `count` tokens of a branch (its guesses among them) from place `start` on."""

    branch: Branch
    start: int
    count: int

    @property
    def tokens(self) -> list[int]:
        """What is read."""
        end = self.start + self.count
        known = self.branch.tokens[self.start : end]
        return known + self.branch.guesses[: self.count - len(known)]

    @property
    def guessed(self) -> int:
        """How many of them are guesses; negative where known tokens are left, so that none can be chosen yet."""
        return self.start + self.count - len(self.branch.tokens)


class Scheduler:
    """The queue and those who run."""

    def __init__(self, cache: Cache, limits: Limits) -> None:
        self.cache, self.limits = cache, limits
        self.waiting: deque[Branch] = deque()
        self.running: list[Branch] = []  # the oldest first
        self.pace = Pace(limits.slowing)
        self._mixed: tuple[int, bool] | None = None  # of the last step, where some generated: prompts that wait, any read
        self.preempted = 0  # times that somebody had to start over
        self.asked = self.found = 0  # tokens of prompts that were admitted, and of those that were known already

    def add(self, branch: Branch) -> None:
        """Queue the first branch of a request that was checked."""
        self.waiting.append(branch)

    def check(self, request: Request) -> None:
        """Raise GenusError for a request that can never be admitted."""
        branch = Branch(0, request, 0, list(request.read))
        if request.n > self.limits.most:
            raise GenusError(f"n = {request.n} is more than the {self.limits.most} choices that run at once; ask for fewer")
        for pages, need in zip(self.cache.groups, self._need(branch, alone=True), strict=True):
            if need > pages.count:
                tokens = len(request.prompt) + request.max_tokens
                raise GenusError(
                    f"a request of {request.n} x {tokens} tokens needs {need} pages and the cache has {pages.count}; "
                    "shorten it, or give the cache more memory"
                )

    def plan(self) -> list[Work]:
        """The next step's work, with pages for it; empty when there is nothing to do."""
        self._admit()
        work: list[Work] = []
        left = self.limits.budget
        for branch in list(self.running):
            if branch.generating and branch.table is not None:
                count = min(1 + len(branch.guesses), max(1, left - len(self.running)))
                left -= self._give(work, branch, count)
        readers = [branch for branch in self.running if not branch.generating and branch.table is not None]
        if work:
            left = min(left, self.limits.beside * len(readers)) if self.pace.may_read else 0
        self._mixed = (len(readers), left > 0 and bool(readers)) if work else None
        begun: set[Hashable] = set()  # pages that somebody reads in this step
        for branch in readers:
            if left > 0 and branch.table is not None and not self._waits(branch, begun):
                left -= self._give(work, branch, min(left, len(branch.tokens) - branch.computed))
        return [each for each in work if each.branch.table is not None]  # without who was preempted since

    def took(self, seconds: float) -> None:
        """The planned step took so long."""
        if self._mixed is not None:
            self.pace.took(seconds, *self._mixed)

    def fork(self, branch: Branch) -> tuple[list[Branch], list[tuple[int, int, int]]]:
        """The other choices of a request whose prompt is read, and the pages to copy: (group, from, to)."""
        branch.forked, others, copies = True, [], []
        for choice in range(1, branch.request.n):
            assert branch.table is not None
            other = Branch(branch.number, branch.request, choice, list(branch.tokens), branch.computed, forked=True)
            other.table, pairs = self.cache.fork(branch.table, branch.computed, self._fork_need(branch))
            others.append(other)
            copies += pairs
        place = self.running.index(branch)
        self.running[place + 1 : place + 1] = others
        return others, copies

    def read(self, branch: Branch, computed: int) -> None:
        """So many of a branch's tokens are cached now (wrong guesses are none of them)."""
        branch.computed = computed
        if branch.table is not None:
            self.cache.read(branch.table, branch.tokens, computed)

    def remove(self, branch: Branch) -> None:
        """The branch is over, wherever it is."""
        if branch in self.running:
            self.running.remove(branch)
        elif branch in self.waiting:
            self.waiting.remove(branch)
        if branch.table is not None:
            self.cache.release(branch.table)
            branch.table = None

    def _waits(self, branch: Branch, begun: set[Hashable]) -> bool:
        """Take over what others have read of a prompt that begins alike; whether one of them reads its next page just
        now."""
        assert branch.table is not None
        size, shares = self.cache.size, self.cache.sharing and not branch.request.echo
        if shares:
            branch.computed = self.cache.follow(branch.table, branch.tokens, branch.computed)
        first = branch.computed // size * size
        page = self.cache.next_page(branch.table, branch.tokens, first)
        if shares and page in begun and branch.computed == first and first + size < len(branch.tokens):
            return True
        begun.add(page)
        return False

    def _admit(self) -> None:
        """First come, first served: who does not fit holds up those after it, so that nobody waits for ever."""
        while self.waiting:
            branch = self.waiting[0]
            others = 0 if branch.forked else branch.request.n - 1
            if len(self.running) + self._to_come() + 1 + others > self.limits.most:
                return
            request = branch.request
            found = self.cache.admit(branch.tokens, request.salt, self._need(branch), found=not request.echo)
            if found is None:
                return
            branch.table, branch.computed = found
            self.asked += len(branch.tokens)
            self.found += branch.computed
            self.running.append(self.waiting.popleft())

    def _to_come(self) -> int:
        return sum(branch.request.n - 1 for branch in self.running if not branch.forked)

    def _need(self, branch: Branch, alone: bool = False) -> list[int]:
        """Pages of each group to be promised; those of the choices to come among them."""
        request, others = branch.request, 0 if branch.forked else branch.request.n - 1
        tokens = len(branch.tokens) if self.limits.optimistic and not alone else request.most
        own = self.cache.pages_for(max(tokens, len(branch.tokens)), self.limits.budget)
        return [mine + others * more for mine, more in zip(own, self._fork_need(branch), strict=True)]

    def _fork_need(self, branch: Branch) -> list[int]:
        """Pages that another choice needs beside those that it shares."""
        request = branch.request
        most = self.cache.pages_for(request.most, self.limits.budget)
        shared = len(request.prompt) // self.cache.size
        return [
            pages if window is not None else pages - shared for pages, window in zip(most, self.cache.windows, strict=True)
        ]

    def _give(self, work: list[Work], branch: Branch, count: int) -> int:
        """Add a branch's work where there are pages for it, or can be; how many tokens that is."""
        assert branch.table is not None
        while not self.cache.grow(branch.table, branch.computed + count):
            youngest = self.running[-1]
            self._start_over(youngest)
            if youngest is branch:
                return 0
        work.append(Work(branch, branch.computed, count))
        return count

    def _start_over(self, branch: Branch) -> None:
        """Give a branch's pages back and queue it again; what it said is read anew, as part of its prompt."""
        self.preempted += 1
        self.remove(branch)
        branch.computed, branch.guesses = 0, []
        self.waiting.appendleft(branch)
