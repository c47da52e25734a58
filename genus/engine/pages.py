"""Which page of the cache holds what: who uses it, what is promised, which beginnings are known. No tensors here.

A page holds the keys and values of `size` tokens for one group of layers, those that see equally far. Layers with a window
let go of the pages behind it. A full page is known by its tokens and by all before them, so that a request which begins
like an earlier one finds its pages, used or idle; idle ones are given away when no other is free, the longest unused first.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

__all__ = ["Cache", "Pages", "Table"]

Content = int
"""Of a page: its tokens after all those before them. Content + next tokens -> content is one dict, the trie of all that is
known: its keys hold the token ids themselves, and equal hashes of unequal ids only cost a comparison."""


class Pages:
    """The pages of one group of layers: each is free, in use by some tables, or idle (known, and used by none)."""

    def __init__(self, count: int) -> None:
        self.count, self.promised = count, 0
        self._free = list(range(count - 1, -1, -1))
        self._users = [0] * count
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._page: dict[Content, int] = {}
        self._content: dict[int, Content] = {}

    @property
    def unpromised(self) -> int:
        """Pages that a newcomer may be promised."""
        return len(self._free) + len(self._idle) - self.promised

    @property
    def used(self) -> int:
        """Pages that somebody reads."""
        return self.count - len(self._free) - len(self._idle)

    def take(self) -> int | None:
        """A page for one user, its content forgotten; None where all are in use."""
        if self._free:
            page = self._free.pop()
        elif self._idle:
            page, _ = self._idle.popitem(last=False)
            del self._page[self._content.pop(page)]
        else:
            return None
        self._users[page] = 1
        return page

    def share(self, page: int) -> None:
        """One more user."""
        self._users[page] += 1
        self._idle.pop(page, None)

    def release(self, page: int) -> None:
        """One user less."""
        assert self._users[page] > 0, "a page that nobody uses was released"
        self._users[page] -= 1
        if self._users[page] == 0:
            if page in self._content:
                self._idle[page] = None
            else:
                self._free.append(page)

    def know(self, page: int, content: Content) -> None:
        """From now on the page can be found by its content, unless another is."""
        if content not in self._page and page not in self._content:
            self._page[content], self._content[page] = page, content

    def find(self, content: Content) -> int | None:
        """The page that holds it."""
        return self._page.get(content)

    def is_idle(self, page: int) -> bool:
        """Whether nobody uses it."""
        return page in self._idle

    def forget(self) -> None:
        """Free what is idle; pages in use are no longer found."""
        self._free += self._idle
        self._idle.clear()
        self._page.clear()
        self._content.clear()

    @property
    def at_rest(self) -> bool:
        """Whether nobody uses or was promised a page: then free and idle ones are all there are, each once."""
        places = [*self._free, *self._idle]
        return sorted(places) == list(range(self.count)) and not any(self._users) and self.promised == 0


@dataclass(eq=False)
class Table:
    """The pages of one sequence: for each group its pages in order, -1 where let go."""

    pages: list[list[int]]
    most: list[int]  # that it holds at once
    room: list[int]  # that it may still take for certain
    contents: list[Content | Hashable] = field(default_factory=list)  # of its full pages; the first is the salt


class Cache:
    """The pages of all groups, and the tables of the sequences that use them.

    `windows` has each group's window in tokens, None where its layers see all. `counts` has how many pages it has.
    """

    def __init__(self, size: int, windows: Sequence[int | None], counts: Sequence[int], sharing: bool = True) -> None:
        self.size, self.windows, self.sharing = size, tuple(windows), sharing
        self.groups = tuple(map(Pages, counts))
        self._next: dict[tuple[Content | Hashable, tuple[int, ...]], Content] = {}
        self._named = 0

    def pages_for(self, tokens: int, burst: int) -> list[int]:
        """How many pages of each group a sequence of so many tokens ever holds, read at most `burst` tokens at a time."""
        whole = -(-tokens // self.size)
        return [whole if window is None else min(whole, (window + burst - 2) // self.size + 2) for window in self.windows]

    def admit(
        self, tokens: Sequence[int], salt: Hashable, need: Sequence[int], found: bool = True
    ) -> tuple[Table, int] | None:
        """A table that starts with what is known of `tokens`, and how many tokens that is; None where it must wait.

        `need` is promised of each group, less what is shared. At least one token is left to read.
        """
        contents, shared = self._match(tokens, salt) if self.sharing and found else ([salt], [[] for _ in self.groups])
        room = []
        for pages, mine, most in zip(self.groups, shared, need, strict=True):
            held = [page for page in mine if page >= 0]
            left = max(0, most - len(held))
            if left + sum(map(pages.is_idle, held)) > pages.unpromised:
                return None
            room.append(left)
        for pages, mine, left in zip(self.groups, shared, room, strict=True):
            pages.promised += left
            for page in mine:
                if page >= 0:
                    pages.share(page)
        return Table(shared, list(need), room, contents), (len(contents) - 1) * self.size

    def follow(self, table: Table, tokens: Sequence[int], count: int) -> int:
        """Share what others have read since: known pages after the first `count` of `tokens`; how many tokens that makes."""
        while self.sharing and count % self.size == 0 and count + self.size < len(tokens):
            content = self._next.get(self.next_page(table, tokens, count))
            found = [None if content is None else pages.find(content) for pages in self.groups]
            if content is None or not all(map(self._may_share, range(len(found)), found, table.room)):
                break
            for group, page in enumerate(found):
                assert page is not None
                self.groups[group].share(page)
                table.pages[group].append(page)
                if table.room[group]:
                    table.room[group] -= 1
                    self.groups[group].promised -= 1
            table.contents.append(content)
            count += self.size
        return count

    def next_page(self, table: Table, tokens: Sequence[int], count: int) -> tuple[Content | Hashable, tuple[int, ...]]:
        """What tells a table's next page from all others; the first `count` of its tokens fill those before."""
        return table.contents[-1], tuple(tokens[count : count + self.size])

    def grow(self, table: Table, tokens: int) -> bool:
        """Give the table pages for so many tokens; False, and nothing changed for the worse, where there are none."""
        for group, (pages, mine) in enumerate(zip(self.groups, table.pages, strict=True)):
            while len(mine) * self.size < tokens:
                page = pages.take() if table.room[group] or pages.unpromised > 0 else None
                if page is None:
                    return False
                mine.append(page)
                if table.room[group]:
                    table.room[group] -= 1
                    pages.promised -= 1
        return True

    def read(self, table: Table, tokens: Sequence[int], count: int) -> None:
        """Keys and values of the first `count` of `tokens` are there: know full pages, let go of those behind windows."""
        if self.sharing:
            while len(table.contents) * self.size <= count:
                self._know(table, tokens)
        for group, window in enumerate(self.windows):
            if window is not None:
                self._let_go(table, group, (count - window + 1) // self.size)

    def fork(self, table: Table, count: int, room: Sequence[int]) -> tuple[Table, list[tuple[int, int, int]]]:
        """A second table for the first `count` tokens, with `room` of what the first was promised.

        Full pages are shared; the last one is to be copied: (group, from, to).
        """
        full = count // self.size
        other = Table([mine[:full] for mine in table.pages], list(room), list(room), table.contents[: full + 1])
        for group, pages in enumerate(self.groups):
            table.room[group] -= room[group]
            table.most[group] -= room[group]
            for page in other.pages[group]:
                if page >= 0:
                    pages.share(page)
        if count % self.size == 0:
            return other, []
        grown = self.grow(other, count)
        assert grown, "a fork was promised its page"
        return other, [(group, table.pages[group][full], mine[full]) for group, mine in enumerate(other.pages)]

    def release(self, table: Table) -> None:
        """The sequence is gone. Later pages are given away before earlier ones, without which they cannot be found."""
        for pages, mine, room in zip(self.groups, table.pages, table.room, strict=True):
            pages.promised -= room
            for page in reversed(mine):
                if page >= 0:
                    pages.release(page)
        table.pages, table.room = [[] for _ in self.groups], [0 for _ in self.groups]

    def forget(self) -> None:
        """No page is found by what it holds any more."""
        for pages in self.groups:
            pages.forget()
        self._next.clear()

    @property
    def at_rest(self) -> bool:
        """Whether every page is free or idle and nothing is promised."""
        return all(pages.at_rest for pages in self.groups)

    def _may_share(self, group: int, page: int | None, room: int) -> bool:
        """Whether a page is there, and using it breaks no promise made to others."""
        pages = self.groups[group]
        return page is not None and (room > 0 or not pages.is_idle(page) or pages.unpromised > 0)

    def _match(self, tokens: Sequence[int], salt: Hashable) -> tuple[list[Content | Hashable], list[list[int]]]:
        """The longest known beginning of which every group still has what the next token sees."""
        contents: list[Content | Hashable] = [salt]
        for first in range(0, len(tokens) - self.size, self.size):
            content = self._next.get((contents[-1], tuple(tokens[first : first + self.size])))
            if content is None:
                break
            contents.append(content)
        while len(contents) > 1:
            found = [self._pages_of(group, contents) for group in range(len(self.groups))]
            if all(mine is not None for mine in found):
                return contents, [mine for mine in found if mine is not None]
            contents.pop()
        return contents, [[] for _ in self.groups]

    def _pages_of(self, group: int, contents: Sequence[Content | Hashable]) -> list[int] | None:
        """A group's pages of these contents, -1 before its window; None where one is lost."""
        window, pages = self.windows[group], []
        first = 0 if window is None else max(0, ((len(contents) - 1) * self.size - window + 1) // self.size)
        for place, content in enumerate(contents[1:]):
            page = self.groups[group].find(content) if place >= first else -1  # type: ignore[arg-type]
            if page is None:
                return None
            pages.append(page)
        return pages

    def _know(self, table: Table, tokens: Sequence[int]) -> None:
        place = len(table.contents) - 1
        key = (table.contents[-1], tuple(tokens[place * self.size : (place + 1) * self.size]))
        content = self._next.get(key)
        if content is None:
            self._prune()
            self._named += 1
            content = self._next[key] = self._named
        table.contents.append(content)
        for pages, mine in zip(self.groups, table.pages, strict=True):
            if mine[place] >= 0:
                pages.know(mine[place], content)

    def _prune(self) -> None:
        """Once in a while, forget contents that no page holds any more."""
        if len(self._next) > 4 * sum(pages.count for pages in self.groups):
            held = [pages.find for pages in self.groups]
            self._next = {
                key: content for key, content in self._next.items() if any(find(content) is not None for find in held)
            }

    def _let_go(self, table: Table, group: int, first: int) -> None:
        """Release a group's pages before `first`; the promise goes on, as far as others' use of those pages allows."""
        mine, pages = table.pages[group], self.groups[group]
        for place in range(min(first, len(mine)) - 1, -1, -1):
            if mine[place] < 0:
                break
            pages.release(mine[place])
            mine[place] = -1
        held = sum(page >= 0 for page in mine)
        more = max(0, min(table.most[group] - held - table.room[group], pages.unpromised))
        table.room[group] += more
        pages.promised += more
