"""How an input becomes items of the journal: all of it, or nothing."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from zai_images.jobs._journal.schema import Connection, on_journal
from zai_images.jobs._journal.steps import WANTED, note

INPUT = "input"  # the fact that names the latest input, where it is a file
# Key, position in the input, body, the caller's id as JSON.
Row = tuple[bytes, int, str, str]

# A saved item needs nothing more, whoever wants it; and they are the most.
_OPEN = "state IN ('pending', 'answered', 'failed', 'refused', 'unknown')"
_FORGET_WANTS = f"UPDATE items SET wanted=0 WHERE {_OPEN} AND wanted<>0"  # noqa: S608 - our own words
_FOUND = f"""
ON CONFLICT (key) DO UPDATE SET position=excluded.position, wanted={WANTED}
WHERE {_OPEN} AND (wanted<>{WANTED} OR position<>excluded.position)
"""
_ADD = f"INSERT INTO items (key, position, body, id) VALUES (?, ?, ?, ?) {_FOUND}"  # noqa: S608 - our own words
_ADD_STAGED = (
    "INSERT INTO items (key, position, body, id) "  # noqa: S608 - our own words
    f"SELECT key, position, body, id FROM staged WHERE true {_FOUND}"
)
# The end of an input: what is not wanted and cost nothing is forgotten. What may be
# billed is known by its row, so that one stays whatever the input says.
_DROP = (
    "DELETE FROM items WHERE state IN ('pending', 'failed', 'refused') "
    "AND wanted=0 AND maybe=0"
)


def _begin(connection: Connection) -> None:
    """Begin a new input: nothing that was not sent is wanted by it yet."""
    connection.execute(_FORGET_WANTS)
    connection.execute("DELETE FROM job WHERE name=?", (INPUT,))


@on_journal
def add_whole(
    connection: Connection, rows: Iterable[Row], noted: Callable[[], Any]
) -> None:
    """
    Add the items of an input, or find them, while it is read.

    Args:
        connection: The journal's.
        rows: The input, read to its end within the step.
        noted: Asked then; what to note of the input, and None to take nothing in.
    """
    connection.execute("SAVEPOINT intake")
    try:
        _begin(connection)
        connection.executemany(_ADD, rows)
        about = noted()
        if about is None:
            connection.execute("ROLLBACK TO intake")
        else:
            connection.execute(_DROP)
            note(INPUT, about)(connection)
    except BaseException:
        connection.execute("ROLLBACK TO intake")
        raise
    finally:
        connection.execute("RELEASE intake")


@on_journal
def stage(connection: Connection, rows: Sequence[Row], *, first: bool) -> None:
    """Put rows aside where they take no memory; the first begin with none."""
    if first:
        drop_staged(connection)
        connection.execute("CREATE TEMP TABLE staged (key, position, body, id)")
    connection.executemany("INSERT INTO staged VALUES (?, ?, ?, ?)", rows)


@on_journal
def add_all(connection: Connection, rows: Sequence[Row], *, staged: bool) -> None:
    """
    Add the items of an input, or find them: all of them or, by a crash, none.

    Args:
        connection: The journal's.
        rows: The last of the input.
        staged: Whether those before them were put aside.
    """
    _begin(connection)
    if staged:
        connection.execute(_ADD_STAGED)
        drop_staged(connection)
    connection.executemany(_ADD, rows)
    connection.execute(_DROP)


def drop_staged(connection: Connection) -> None:
    """Forget what was put aside."""
    connection.execute("DROP TABLE IF EXISTS temp.staged")
