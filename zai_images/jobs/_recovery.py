"""What is found in a journal when a job is run again: killed, moved, or ended."""

from datetime import UTC, datetime
from functools import partial

from zai_images._api.errors import ZaiImagesError
from zai_images._api.judge import judge
from zai_images._api.wire import decode
from zai_images._config import SessionConfig
from zai_images.jobs._journal import steps
from zai_images.jobs._journal.schema import Step
from zai_images.jobs._results import ended, picture_in

SANDBOX = "sandbox"


def resume(config: SessionConfig, *, private_sandbox: bool) -> Step[None]:
    """
    Bring every item to a state it can be resumed from.

    Raises:
        JobError: The job was made with another service.
    """
    service = SANDBOX if private_sandbox else config.base_url
    reader = steps.Reader(
        has_picture=lambda raw: picture_in(raw) is not None,
        read=partial(_read, config),
    )
    return steps.resume(service, reader, private_sandbox=private_sandbox)


def _read(config: SessionConfig, kept: steps.Unread) -> Step[None]:
    """Read an answer that the process before had no time to read."""
    try:
        response = judge(kept.raw, now=datetime.now(UTC))
    except ZaiImagesError as error:
        more = int(error.maybe_billed)
        if kept.maybe and error.billed == "no":
            error.billed = "maybe"  # of an attempt before this one
        code = getattr(error, "code", None)
        return steps.end(kept.number, ended(error), str(error), code, more_maybe=more)
    model = decode(kept.body, kept.number).model
    return steps.read_answer(
        kept.number,
        url=response.url,
        expires=response.expires,
        cost=config.price_of(model),
        latency=None,
    )
