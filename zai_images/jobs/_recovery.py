"""What is found in a journal when a job is taken up again: killed, moved, or ended."""

import sqlite3
from datetime import UTC, datetime

from zai_images._api.errors import ZaiImagesError
from zai_images._api.judge import judge
from zai_images._api.wire import RawResponse
from zai_images._config import SessionConfig
from zai_images.jobs._errors import JobError
from zai_images.jobs._journal import steps as journal
from zai_images.jobs._journal.queries import recall, request_of
from zai_images.jobs._results import ended

SANDBOX = "sandbox"
_SERVICE = "service"
_CUT_OFF = (
    "It was sent, and the process ended before an answer was known; it may be billed."
)


def check_service(name: str) -> journal.Step:
    """
    Record the service of a new job, and refuse another one for an old job.

    Raises:
        JobError: The job was made with another; no sandbox picture passes as paid.
    """

    def step(connection: sqlite3.Connection) -> None:
        known = recall(_SERVICE)(connection)
        if known is None:
            journal.note(_SERVICE, name)(connection)
        elif known != name:
            raise JobError(
                f"This job was made with {known}, and this run is with {name}. Nothing "
                "was sent; use another folder."
            )

    return step


def recover(config: SessionConfig, *, private_sandbox: bool) -> journal.Step:
    """
    Bring every item to a state it can be resumed from.

    What was sent without a known answer is unknown. Answers that were kept and never
    read are read now. The links of a private sandbox died with it.
    """

    def step(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE items SET state='unknown', maybe=maybe+1, error=? "
            "WHERE state='sent'",
            (_CUT_OFF,),
        )
        _find_answered(connection)
        if private_sandbox:
            connection.execute(
                "UPDATE items SET state='pending' WHERE state='answered'"
            )
            connection.execute(
                "DELETE FROM answers WHERE number IN "
                "(SELECT number FROM items WHERE state='pending')"
            )
        unread = connection.execute(
            "SELECT number, items.body, maybe, status, request_id, answers.body "
            "FROM items JOIN answers USING (number) "
            "WHERE state='answered' AND url IS NULL"
        ).fetchall()
        for number, body, maybe, status, request_id, answer in unread:
            raw = RawResponse(status=status, request_id=request_id, body=answer)
            model = request_of(body, number).model
            _read(raw, number, config.price_of(model), maybe=bool(maybe))(connection)

    return step


def _find_answered(connection: sqlite3.Connection) -> None:
    """Find pictures whose call was cancelled while their answer was being kept."""
    kept = connection.execute(
        "SELECT number, status, request_id, answers.body FROM items "
        "JOIN answers USING (number) WHERE state='unknown' AND url IS NULL"
    ).fetchall()
    for number, status, request_id, answer in kept:
        raw = RawResponse(status=status, request_id=request_id, body=answer)
        try:
            judge(raw, now=datetime.now(UTC))
        except ZaiImagesError:
            continue  # it was read, and nobody knows what it means
        connection.execute(
            "UPDATE items SET state='answered', maybe=max(0, maybe-1) WHERE number=?",
            (number,),
        )


def _read(
    raw: RawResponse, number: int, price: float | None, *, maybe: bool
) -> journal.Step:
    try:
        response = judge(raw, now=datetime.now(UTC))
    except ZaiImagesError as error:
        more = int(error.maybe_billed)
        if maybe and error.billed == "no":
            error.billed = "maybe"  # of an attempt before this one
        end = journal.end(
            number, ended(error), str(error), getattr(error, "code", None)
        )

        def step(connection: sqlite3.Connection) -> None:
            end(connection)
            connection.execute(
                "UPDATE items SET maybe=maybe+? WHERE number=?", (more, number)
            )

        return step
    return journal.read_answer(
        number,
        url=response.url,
        expires=response.expires,
        cost=price,
        latency=None,
    )
