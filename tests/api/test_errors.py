"""The error tree: drawn as it is, picklable, and clear about the money."""

import copy
import inspect
import pickle
import re
import traceback
from datetime import UTC, datetime

import pytest

import zai_images
from zai_images import jobs
from zai_images._api import errors as _errors
from zai_images._api.response import ContentFilter, ImageResponse, ImageURL

TREE = {
    name: kind
    for name, kind in vars(_errors).items()
    if inspect.isclass(kind) and issubclass(kind, BaseException)
}
FIELDS = {
    "status": 429,
    "code": "1302",
    "message": "busy",
    "request_id": "r-1",
    "retry_after": 7.0,
    "resets_at": datetime(2026, 11, 23, tzinfo=UTC),
    "content_filter": (ContentFilter(role="user", level=1),),
    "stops": "model",
    "field": "size",
    "retryable": False,
    "body": "{}",
    "response": ImageResponse(
        created=1, images=(ImageURL(url="https://example.com/a.png"),)
    ),
    "url": "https://example.com/a.png?***",
    "expires": datetime(2026, 12, 23, tzinfo=UTC),
}


def make(kind: type[BaseException]) -> BaseException:
    """Make an error with every field it takes."""
    names = set(inspect.signature(kind.__init__).parameters) - {"message"}
    if issubclass(kind, _errors.APIError):
        names |= set(_errors.Reply.__annotations__)
    fields = {name: value for name, value in FIELDS.items() if name in names}
    return kind("a sentence", **fields)


def test_the_drawing_is_the_tree():
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in _errors.__doc__.splitlines():
        if found := re.fullmatch(r"((?:│   |├── |└── |    )*)(\w+Error)", line):
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            drawn[found[2]] = path[depth - 1] if depth else "Exception"

    assert drawn == {name: kind.__mro__[1].__name__ for name, kind in TREE.items()}


@pytest.mark.parametrize("kind", [jobs.JobError, jobs.DiskError])
def test_an_error_of_a_door_is_stored_under_its_door(kind):
    stored = pickle.dumps(kind("a sentence"), 0)

    assert f"zai_images.jobs\n{kind.__name__}".encode() in stored
    assert type(pickle.loads(stored)) is kind


def test_the_root_catches_every_error_and_the_porch_shows_each():
    for name, kind in TREE.items():
        assert issubclass(kind, zai_images.ZaiImagesError)
        assert getattr(zai_images, name) is kind


def test_what_is_stored_of_an_error_names_the_porch_and_no_room_within():
    for name, kind in TREE.items():
        assert f"zai_images\n{name}".encode() in pickle.dumps(make(kind), 0)
        told = traceback.format_exception_only(make(kind))
        assert told == [f"zai_images.{name}: a sentence\n"]


@pytest.mark.parametrize("name", TREE)
def test_every_error_survives_pickling_and_copying(name):
    error = make(TREE[name])

    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == "a sentence"
        assert vars(twin) == vars(error)
        assert twin.billed == error.billed


@pytest.mark.parametrize(
    ("name", "billed"),
    [
        ("ConfigurationError", "no"),
        ("InvalidRequestError", "no"),
        ("BusyError", "no"),
        ("BudgetError", "no"),
        ("ConnectError", "no"),
        ("AnswerLostError", "maybe"),
        ("AuthenticationError", "no"),
        ("AccountError", "no"),
        ("QuotaError", "no"),
        ("ContentRefusedError", "no"),
        ("RateLimitedError", "no"),
        ("ServerError", "maybe"),
        ("RequestRejectedError", "no"),
        ("ResponseError", "maybe"),
        ("DownloadError", "yes"),
    ],
)
def test_every_error_says_whether_it_cost_money(name, billed):
    error = TREE[name]("a sentence")

    assert error.billed == billed
    assert error.maybe_billed is (billed == "maybe")


def test_bad_input_is_a_value_error_as_well():
    assert issubclass(zai_images.InvalidRequestError, ValueError)


def test_only_what_the_library_may_send_again_is_retryable():
    retryable = {name for name, kind in TREE.items() if kind("x").retryable}

    assert retryable == {"BusyError", "ConnectError", "RateLimitedError", "ServerError"}
