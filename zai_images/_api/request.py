"""Requests: every field of the API page, checked when the request is made."""

from collections.abc import Mapping
from typing import Any

import attrs

from zai_images._api.errors import InvalidRequestError
from zai_images._api.frozen_json import NOTHING, FrozenJSON
from zai_images._api.models import MODELS, ModelRules, Quality, Size

DEFAULT_MODEL = "cogview-4-250304"
USER_ID_LENGTH = (6, 128)
WIRE_FIELDS = ("model", "prompt", "quality", "size", "user_id")


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(
            f"{field}: must be a string, got {type(value).__name__}", field=field
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"{field}: character {error.start + 1} is half of a surrogate pair, which "
            "cannot be sent as UTF-8; repair the text where it was read",
            field=field,
        ) from None
    return value


# Typed for correct use; the checks are for callers without a type checker.


def _model(value: str) -> str:
    if isinstance(value, str) and value in MODELS:
        return value
    name = _text(value, "model").strip().lower()
    if not name:
        raise InvalidRequestError(
            f"model: is empty; leave it out for {DEFAULT_MODEL}", field="model"
        )
    return name


def _prompt(value: str) -> str:
    prompt = _text(value, "prompt")
    if not prompt.strip():
        raise InvalidRequestError(
            "prompt: is empty; say what the picture shall show", field="prompt"
        )
    return prompt


def _user_id(value: str | None) -> str | None:
    if value is None:
        return None
    user_id = _text(value, "user_id")
    low, high = USER_ID_LENGTH
    if not low <= len(user_id) <= high:
        raise InvalidRequestError(
            f"user_id: has {len(user_id)} characters; allowed are {low} to {high}",
            field="user_id",
        )
    return user_id


def _caller_id(value: str | int | None) -> str | int | None:
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return value
    raise InvalidRequestError(
        f"id: must be a string or a whole number, got {type(value).__name__}",
        field="id",
    )


def _extra(value: Mapping[str, Any]) -> FrozenJSON:
    if value is NOTHING:
        return NOTHING
    if not isinstance(value, Mapping):
        raise InvalidRequestError(
            f"extra: must be a mapping, got {type(value).__name__}", field="extra"
        )
    for name in WIRE_FIELDS:
        if name in value:
            raise InvalidRequestError(
                f"extra: {name!r} is a documented field; pass it as {name}=",
                field="extra",
            )
    if "n" in value and not (type(value["n"]) is int and value["n"] == 1):
        raise InvalidRequestError(
            f"extra: n cannot be {value['n']!r}, as a request is for one picture. "
            "Leave it out; for more ask with repeat in a job, or with more requests.",
            field="extra",
        )
    try:
        frozen = FrozenJSON(value)
        frozen.text.encode()
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"extra: cannot be sent as JSON ({error})", field="extra"
        ) from None
    return frozen


@attrs.frozen
class ImageRequest:
    """
    A request for one picture.

    Checked when it is made, so that nothing is sent that the service would refuse.
    Quality and size left out become the model's documented default and are sent: the
    vendor's own schema defaults have moved. A model this library has no rules for goes
    through unchecked and the service judges it.

    Attributes:
        prompt: What the picture is to show; not blank.
        model: The model code; case does not matter, lower case is sent.
        quality: `standard` (5-10 s) or `hd` (about 20 s).
        size: In pixels: `"1024x1024"`, `(1024, 1024)` or a `Size`.
        user_id: Your end user's id, 6-128 characters, for the service's abuse checks.
        extra: Body fields the API page does not name, sent as they are.
        id: For your own use: never sent, and returned with the outcome.
        left_out: The fields that took the model's default; with another model they take
            that one's.

    Raises:
        InvalidRequestError: A field is wrong; it says which, and what is allowed.
    """

    prompt: str = attrs.field(converter=_prompt)
    model: str = attrs.field(default=DEFAULT_MODEL, converter=_model, kw_only=True)
    quality: Quality | str | None = attrs.field(default=None, kw_only=True)
    size: Size | str | tuple[int, int] | None = attrs.field(default=None, kw_only=True)
    user_id: str | None = attrs.field(default=None, converter=_user_id, kw_only=True)
    extra: Mapping[str, Any] = attrs.field(
        default=NOTHING, converter=_extra, kw_only=True
    )
    id: str | int | None = attrs.field(default=None, converter=_caller_id, kw_only=True)
    left_out: tuple[str, ...] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        left_out: tuple[str, ...] = ("quality",) if self.quality is None else ()
        if self.size is None:
            left_out += ("size",)
        quality, size = _check(self.model, self.quality, self.size)
        object.__setattr__(self, "quality", quality)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "left_out", left_out)

    @property
    def rules(self) -> ModelRules | None:
        """The model's rules; None for a model this library does not know."""
        return MODELS.get(self.model)


def _check(
    model: str, quality: object, size: object
) -> tuple[Quality | str | None, Size | str | None]:
    if rules := MODELS.get(model):
        return rules.check_quality(quality), rules.check_size(size)
    if isinstance(size, tuple | list):
        size = Size.parse(size)
    for name, value in (("quality", quality), ("size", size)):
        if not (value is None or isinstance(value, Size)):
            _text(value, name)
    return quality, size  # type: ignore[return-value] # checked just above


def change(item: object, **changes: Any) -> ImageRequest:  # noqa: ANN401 - fields of the request
    """Build a request from an item with changes, or raise `InvalidRequestError`."""
    request = as_request(item)
    changes = {name: value for name, value in changes.items() if value is not None}
    if not changes:
        return request
    if "model" in changes:
        for name in request.left_out:
            changes.setdefault(name, None)
    return attrs.evolve(request, **changes)


_FIELDS = (*WIRE_FIELDS, "extra", "id")


def as_request(item: object) -> ImageRequest:
    """Build a request from a prompt or a mapping, or raise `InvalidRequestError`."""
    if isinstance(item, ImageRequest):
        return item
    if isinstance(item, str):
        return ImageRequest(item)
    if not isinstance(item, Mapping):
        raise InvalidRequestError(
            "a request is a prompt, an ImageRequest or a mapping of its fields; "
            f"got {type(item).__name__}"
        )
    unknown = [str(name) for name in item if name not in _FIELDS]
    if unknown:
        raise InvalidRequestError(
            f"unknown field {', '.join(map(repr, unknown))}; known are "
            f"{', '.join(_FIELDS)} (undocumented body fields go into extra)",
            field=unknown[0],
        )
    if "prompt" not in item:
        raise InvalidRequestError("prompt: is missing", field="prompt")
    return ImageRequest(**{str(name): value for name, value in item.items()})
