"""The tables of the feedback store, on SQLite or Postgres. Rows are added and never changed: the database itself refuses."""

from collections.abc import Iterator

from sqlalchemy import (
    DDL,
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    insert,
    inspect,
    select,
    text,
)  # fmt: skip

from genus.core.errors import GenusError

__all__ = ["answers", "create", "demonstrations", "guidelines", "rankings", "tasks", "thumbs"]

_FORM = 1  # of the tables; another one is another program's
_ALL = MetaData()
_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only what is called INTEGER
_LOCK = 4_736_885  # any number that is ours: two programs that open a new Postgres store make its tables one by one


def _table(name: str, *columns: Column | ForeignKey | Index | UniqueConstraint) -> Table:
    number = Column("id", _NUMBER, primary_key=True, autoincrement=True)
    made = Column("created", Float, nullable=False)  # seconds since 1970
    return Table(f"feedback_{name}", _ALL, number, *columns, made, sqlite_autoincrement=True)


about = _table("about", Column("form", Integer, nullable=False))

guidelines = _table("guidelines", Column("digest", String(64), nullable=False), Column("text", Text, nullable=False))
"""What labellers were told; the newest row is what they are told now."""

tasks = _table(
    "tasks",
    Column("kind", String(16), nullable=False),  # "rank": for every labeller; "preference": judged where it was made
    Column("digest", String(64), nullable=False),
    Column("prompt", JSON, nullable=False),
    Column("guideline", String(64)),
    UniqueConstraint("kind", "digest"),
)

answers = _table(
    "answers",
    Column("task", ForeignKey(tasks.c.id), nullable=False),
    Column("place", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("source", Text, nullable=False),  # never shown to a labeller
    UniqueConstraint("task", "place"),
)

rankings = _table(
    "rankings",
    Column("task", ForeignKey(tasks.c.id), nullable=False),
    Column("labeller", String(100), nullable=False),
    Column("ranks", JSON, nullable=False),  # for each answer in the order of `answers`; null where it has none yet
    Column("overall", JSON, nullable=False),
    Column("flags", JSON, nullable=False),
    Column("comment", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("skipped", Boolean, nullable=False),
    Column("submitted", Boolean, nullable=False),
    Column("guideline", String(64)),
)
"""Every click of a labeller is a row; the newest is what counts, and after the submitted one there is none."""

Index("feedback_rankings_newest", rankings.c.labeller, rankings.c.task, rankings.c.id)
Index(
    "feedback_rankings_final", rankings.c.task, rankings.c.labeller, unique=True,
    sqlite_where=rankings.c.submitted, postgresql_where=rankings.c.submitted,
)  # fmt: skip

demonstrations = _table(
    "demonstrations",
    Column("digest", String(64), nullable=False, unique=True),  # of labeller, prompt and answer: sent twice, kept once
    Column("prompt", JSON, nullable=False),
    Column("answer", Text, nullable=False),
    Column("labeller", String(100), nullable=False),
    Column("guideline", String(64)),
)

thumbs = _table(
    "thumbs",
    Column("prompt", JSON, nullable=False),
    Column("answer", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("thumb", Integer, nullable=False),  # 1 up, -1 down, 0 taken back
    Column("labeller", String(100), nullable=False),
)

_KEPT = "feedback rows are added, never changed"
_FUNCTION = f"""CREATE OR REPLACE FUNCTION feedback_kept() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '{_KEPT}'; END $$"""


def _refuse_changes(name: str) -> Iterator[DDL]:
    """What makes the database itself refuse to change a table's rows."""
    for done in ("UPDATE", "DELETE"):
        start = f"CREATE TRIGGER {name}_no_{done.lower()} BEFORE {done} ON {name}"
        yield DDL(f"{start} BEGIN SELECT RAISE(ABORT, '{_KEPT}'); END").execute_if(dialect="sqlite")
    start = f"CREATE TRIGGER {name}_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON {name}"
    yield DDL(f"{start} EXECUTE FUNCTION feedback_kept()").execute_if(dialect="postgresql")


event.listen(_ALL, "before_create", DDL(_FUNCTION).execute_if(dialect="postgresql"))
for _each in _ALL.sorted_tables:
    for _change in _refuse_changes(_each.name):
        event.listen(_each, "after_create", _change)


def create(engine: Engine, now: float) -> None:
    """Make the tables where there are none. Raises GenusError for tables of another form."""
    with engine.execution_options(write=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        if not inspect(connection).has_table(about.name):
            _ALL.create_all(connection)
            connection.execute(insert(about).values(form=_FORM, created=now))
        check(connection)


def check(connection: Connection) -> None:
    """Raise GenusError unless the tables are there, in the form that this program knows."""
    if not inspect(connection).has_table(about.name):
        raise GenusError("it holds no feedback; name the store that `genus rank --store` made")
    form = connection.execute(select(about.c.form).order_by(about.c.id.desc()).limit(1)).scalar()
    if form != _FORM:
        raise GenusError(f"its tables have form {form}, and this Genus knows {_FORM}; use the Genus that made it")
