"""Ending a text before a stop string, while the text arrives in pieces. Not for end tokens, which are ids and not text."""

from collections import deque
from collections.abc import Sequence

__all__ = ["StopText"]


class StopText:
    """Shows text as it comes, up to the first stop string, and holds back what may be the beginning of one.

    The string that is complete first wins, so that no text is asked for only to decide; of those complete at the same
    character, the longest. What is shown depends on the text alone, never on how it was cut into pieces. All stop strings
    are looked for at once (Aho and Corasick 1975): time is linear in the text, however many there are.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.met: str | None = None
        """The stop string that ended the text, once there was one."""
        self._next: list[dict[str, int]] = [{}]  # of each state, a beginning of some stop string: by the next character
        self._depth = [0]  # characters of that beginning
        self._stop = [0]  # length of the longest stop string that ends there
        for stop in stops:
            self._plant(stop)
        self._back = self._fall_backs()
        self._state, self._held = 0, ""

    def add(self, piece: str) -> str:
        """What may be shown now that `piece` has come; nothing more once a stop string was met."""
        if self.met is not None:
            return ""
        text, before = self._held + piece, len(self._held)
        for end, character in enumerate(piece, before + 1):
            self._step(character)
            if length := self._stop[self._state]:
                self.met, self._held = text[end - length : end], ""
                return text[: end - length]
        safe = len(text) - self._depth[self._state]
        self._held = text[safe:]
        return text[:safe]

    def flush(self) -> str:
        """What was held back, at the end of the text."""
        held, self._held, self._state = self._held, "", 0
        return held

    def _plant(self, stop: str) -> None:
        state = 0
        for character in stop:
            if character not in self._next[state]:
                self._next[state][character] = len(self._next)
                self._next.append({})
                self._depth.append(self._depth[state] + 1)
                self._stop.append(0)
            state = self._next[state][character]
        self._stop[state] = len(stop)

    def _fall_backs(self) -> list[int]:
        """Of each state, the longest other beginning that it ends with; shorter states come first."""
        back, waiting = [0] * len(self._next), deque(self._next[0].values())
        while waiting:
            state = waiting.popleft()
            self._stop[state] = self._stop[state] or self._stop[back[state]]
            for character, child in self._next[state].items():
                fallen = back[state]
                while fallen and character not in self._next[fallen]:
                    fallen = back[fallen]
                back[child] = self._next[fallen].get(character, 0)
                waiting.append(child)
        return back

    def _step(self, character: str) -> None:
        while self._state and character not in self._next[self._state]:
            self._state = self._back[self._state]
        self._state = self._next[self._state].get(character, 0)
