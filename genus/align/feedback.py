"""What people say of answers, kept: tasks, rankings click by click, demonstrations, thumbs; and read for training.

Trainers use `Feedback.open(url).comparisons()` and `.demonstrations()`. Who may say what is genus.serve's business.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select
from sqlalchemy.exc import IntegrityError

from genus.align import tables
from genus.align.agreement import Agreement, agreement
from genus.align.rankings import Kind, Ranking, Task, Thumb, check_prompt, check_ranking, check_task, check_text, digest_of
from genus.align.store import Store
from genus.core.errors import GenusError
from genus.data.comparisons import Comparison, Demonstration

__all__ = ["Feedback", "TakenError", "UnknownError"]

_AT_ONCE = 500  # tasks of one transaction


class TakenError(GenusError):
    """It was submitted before, and stands."""


class UnknownError(GenusError):
    """There is no such task."""


class Feedback:
    """The store as nouns. Rows are only added; of several the newest counts."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def open(cls, url: str | Path, *, new: bool = False) -> "Feedback":
        """A path, sqlite:///PATH or postgresql://…; with `new` it is made where it is not there."""
        return cls(Store(url, new=new))

    def close(self) -> None:
        """Let go of the database."""
        self.store.close()

    def comparisons(self) -> list[Comparison]:
        """Every submitted ranking, those of the playground among them, in the order in which they came."""
        return [
            Comparison(task.prompt, task.answers, _ranked(ranking), ranking.labeller) for task, ranking in self.submitted()
        ]

    def demonstrations(self) -> list[Demonstration]:
        """Every answer that a labeller wrote."""
        rows = tables.demonstrations.c
        with self.store.read() as connection:
            found = connection.execute(select(rows.prompt, rows.answer, rows.labeller).order_by(rows.id))
            return [Demonstration(*row) for row in found]

    def thumbs(self) -> list[Thumb]:
        """The thumbs that stand: each labeller's newest for each answer."""
        rows = tables.thumbs.c
        with self.store.read() as connection:
            query = select(rows.prompt, rows.answer, rows.source, rows.thumb, rows.labeller).order_by(rows.id)
            found = [Thumb(*row) for row in connection.execute(query)]
        newest = {digest_of(each.prompt, each.answer, each.labeller): each for each in found}
        return [each for each in newest.values() if each.thumb]

    def submitted(self) -> list[tuple[Task, Ranking]]:
        """Every submitted ranking with its task."""
        rows = tables.rankings
        with self.store.read() as connection:
            tasks = {task.id: task for task in _tasks(connection, select(tables.tasks))}
            found = connection.execute(_rankings().where(rows.c.submitted).order_by(rows.c.id))
            rankings = [_ranking(row) for row in found]
        return [(tasks[ranking.task], ranking) for ranking in rankings]

    def agreement(self) -> Agreement | None:
        """How far labellers agree on the tasks that several of them ranked."""
        rows = tables.rankings.c
        with self.store.read() as connection:
            query = select(rows.task, rows.labeller, rows.ranks).where(rows.submitted).order_by(rows.id)
            return agreement((task, labeller, ranks) for task, labeller, ranks in connection.execute(query))

    def add_tasks(self, new: Sequence[Task]) -> int:
        """Add those that are not there yet; how many they were."""
        added = 0
        for start in range(0, len(new), _AT_ONCE):
            with self.store.write() as connection:
                for task in new[start : start + _AT_ONCE]:
                    added += _add_task(connection, task)[1]
        return added

    def task_ids(self) -> list[int]:
        """The tasks that labellers are asked to rank."""
        rows = tables.tasks.c
        with self.store.read() as connection:
            return list(connection.execute(select(rows.id).where(rows.kind == "rank").order_by(rows.id)).scalars())

    def task(self, number: int, kind: Kind = "rank") -> Task:
        """One of them. Raises UnknownError."""
        rows = tables.tasks.c
        with self.store.read() as connection:
            found = list(_tasks(connection, select(tables.tasks).where(rows.id == number, rows.kind == kind)))
        if not found:
            raise UnknownError(f"there is no task {number} here; reload the page")
        return found[0]

    def sampled(self, source: str) -> set[str]:
        """Digests of the prompts that have answers of a source."""
        rows = tables.tasks.c
        of_source = select(tables.answers.c.task).where(tables.answers.c.source == source)
        with self.store.read() as connection:
            return {
                digest_of(prompt)
                for prompt in connection.execute(select(rows.prompt).where(rows.id.in_(of_source))).scalars()
            }

    def ranking(self, task: int, labeller: str) -> Ranking | None:
        """What a labeller said last of a task."""
        rows = tables.rankings.c
        query = _rankings().where(rows.task == task, rows.labeller == labeller).order_by(rows.id.desc()).limit(1)
        with self.store.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _ranking(row)

    def states(self, labeller: str) -> dict[int, str]:
        """Each task that a labeller has touched: "begun", "skipped" or "done"."""
        rows = tables.rankings.c
        newest = select(func.max(rows.id)).where(rows.labeller == labeller).group_by(rows.task)
        query = select(rows.task, rows.skipped, rows.submitted).where(rows.id.in_(newest))
        with self.store.read() as connection:
            found = connection.execute(query)
            return {task: "done" if done else "skipped" if skipped else "begun" for task, skipped, done in found}

    def save(self, ranking: Ranking) -> int:
        """Add what a labeller said; the number of its row. Raises TakenError, UnknownError, GenusError."""
        check_ranking(ranking, len(self.task(ranking.task).answers))
        try:
            with self.store.write() as connection:
                return _add_ranking(connection, ranking)
        except IntegrityError:  # on Postgres two may get past the question at once; the index lets one of them in
            raise _taken() from None

    def prefer(self, task: Task, ranking: Ranking) -> int:
        """Add a comparison from the playground, task and ranking in one step. Raises TakenError for the same one again."""
        check_task(task)
        check_ranking(ranking, len(task.answers))
        try:
            with self.store.write() as connection:
                number, _ = _add_task(connection, task._replace(kind="preference"))
                order = connection.execute(_texts_of(number)).scalars().all()
                ranks = tuple(ranking.ranks[task.answers.index(text)] for text in order)  # as they were stored first
                return _add_ranking(connection, ranking._replace(task=number, ranks=ranks))
        except IntegrityError:
            raise _taken() from None

    def demonstrate(self, said: Demonstration, guideline: str | None = None) -> None:
        """Add an answer that a labeller wrote; the same again adds nothing."""
        check_prompt(said.prompt)
        check_text("answer", said.answer)
        digest = digest_of(said.labeller, said.prompt, said.answer)
        rows = tables.demonstrations
        with self.store.write() as connection:
            if connection.execute(select(rows.c.id).where(rows.c.digest == digest)).first() is None:
                told = {"prompt": said.prompt, "answer": said.answer, "labeller": said.labeller}
                values = {**told, "digest": digest, "guideline": guideline, "created": time.time()}
                connection.execute(insert(rows).values(**values))

    def demonstrated(self, labeller: str) -> int:
        """How many demonstrations a labeller wrote."""
        rows = tables.demonstrations.c
        with self.store.read() as connection:
            query = select(func.count()).select_from(tables.demonstrations).where(rows.labeller == labeller)
            return int(connection.execute(query).scalar_one())

    def thumb(self, said: Thumb) -> None:
        """Add a thumb."""
        check_prompt(said.prompt)
        check_text("answer", said.answer)
        with self.store.write() as connection:
            connection.execute(insert(tables.thumbs).values(**said._asdict(), created=time.time()))

    def guideline(self) -> tuple[str, str] | None:
        """The digest and the text of what labellers are told now."""
        with self.store.read() as connection:
            return _guideline(connection)

    def has_guideline(self, digest: str) -> bool:
        """Whether labellers were ever told that."""
        rows = tables.guidelines.c
        with self.store.read() as connection:
            return connection.execute(select(rows.id).where(rows.digest == digest)).first() is not None

    def set_guideline(self, text: str) -> str:
        """Tell labellers this from now on; its digest, which is its version."""
        digest = digest_of(check_text("the guideline", text))
        with self.store.write() as connection:
            now = _guideline(connection)
            if now is None or now[0] != digest:
                connection.execute(insert(tables.guidelines).values(digest=digest, text=text, created=time.time()))
        return digest


def _add_task(connection: Connection, task: Task) -> tuple[int, bool]:
    """The task's number, and whether it is new."""
    rows, digest = tables.tasks.c, task.digest
    known = connection.execute(select(rows.id).where(rows.kind == task.kind, rows.digest == digest)).scalar()
    if known is not None:
        return known, False
    now, told = time.time(), _guideline(connection)
    guideline = None if told is None else told[0]
    values = {"kind": task.kind, "digest": digest, "prompt": task.prompt, "guideline": guideline, "created": now}
    number = connection.execute(insert(tables.tasks).values(**values).returning(rows.id)).scalar_one()
    sources = task.sources or ("",) * len(task.answers)
    texts = [
        {"task": number, "place": place, "text": text, "source": source, "created": now}
        for place, (text, source) in enumerate(zip(task.answers, sources, strict=True))
    ]
    connection.execute(insert(tables.answers), texts)
    return number, True


def _add_ranking(connection: Connection, ranking: Ranking) -> int:
    rows = tables.rankings.c
    final = select(rows.id).where(rows.task == ranking.task, rows.labeller == ranking.labeller, rows.submitted)
    if connection.execute(final).first() is not None:
        raise _taken()
    values = {**ranking._asdict(), "created": time.time()}
    number: int = connection.execute(insert(tables.rankings).values(**values).returning(rows.id)).scalar_one()
    return number


def _taken() -> TakenError:
    return TakenError("you submitted this one before, and it stands; go on with the next")


def _texts_of(task: int) -> Select[tuple[str]]:
    return select(tables.answers.c.text).where(tables.answers.c.task == task).order_by(tables.answers.c.place)


def _tasks(connection: Connection, query: Select[Any]) -> Iterator[Task]:
    """Tasks with their answers, of a query that gives rows of tasks."""
    found = connection.execute(query.order_by(tables.tasks.c.id)).all()
    rows = tables.answers.c
    wanted = select(rows.task, rows.text, rows.source).order_by(rows.task, rows.place)
    if len(found) == 1:
        wanted = wanted.where(rows.task == found[0].id)
    told: dict[int, list[tuple[str, str]]] = {}
    for number, text, source in connection.execute(wanted):
        told.setdefault(number, []).append((text, source))
    for row in found:
        texts, sources = zip(*told[row.id], strict=True)
        yield Task(row.prompt, texts, sources, row.kind, row.id, row.guideline)


def _rankings() -> Select[Any]:
    rows = tables.rankings.c
    return select(*(rows[name] for name in Ranking._fields), rows.id)


def _ranking(row: Any) -> Ranking:
    values = row._mapping
    told = {name: values[name] for name in Ranking._fields}
    flags = tuple(tuple(each) for each in told["flags"])
    return Ranking(**{**told, "ranks": tuple(told["ranks"]), "overall": tuple(told["overall"]), "flags": flags})


def _ranked(ranking: Ranking) -> tuple[int, ...]:
    """The ranks of a submitted ranking, which has them all."""
    return tuple(rank for rank in ranking.ranks if rank is not None)


def _guideline(connection: Connection) -> tuple[str, str] | None:
    rows = tables.guidelines.c
    row = connection.execute(select(rows.digest, rows.text).order_by(rows.id.desc()).limit(1)).one_or_none()
    return None if row is None else (row[0], row[1])
