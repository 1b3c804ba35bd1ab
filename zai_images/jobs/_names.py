"""File names from prompts and templates: readable, safe everywhere, never outside."""

import re
import string
import unicodedata
from collections.abc import Iterator, Mapping

from zai_images._api.errors import InvalidRequestError
from zai_images._api.request import ImageRequest

DEFAULT_NAME = "{index:06d}-{slug}-{key8}"
LONGEST = 40  # characters of a slug
LONGEST_NAME = 180  # bytes of a name; with all that is added, 255 is the most
FIELDS = ("index", "slug", "key8", "key", "id", "model", "quality", "size")
_ENOUGH = 400  # characters of a prompt that are looked at
# Letters and marks by their category, and yet nothing that could be seen.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f"
    "\U000e0100-\U000e01ef]"
)
_DEVICES = re.compile(  # of Windows, with whatever extension
    r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.ASCII | re.IGNORECASE
)
_SPEC = re.compile(r"0?\d{0,2}d?", re.ASCII)
_FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')


def slug(prompt: str, longest: int = LONGEST) -> str:
    """Make letters, digits and dashes of a prompt: `a-fox-in-the-snow`."""
    text = _UNSEEN.sub("", prompt[:_ENOUGH])
    # Twice: some capitals are such only once they are taken apart.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    words = "-".join("".join(_kept(text)).split())
    cut = words[:longest]
    if len(words) > longest and words[longest] != "-":
        head, dash, _ = cut.rpartition("-")
        cut = head if dash and len(head) > longest // 2 else cut
    cut = cut.strip("-") or "picture"
    return f"picture-{cut}" if _DEVICES.fullmatch(cut) else cut


def _kept(text: str) -> Iterator[str]:
    """Keep letters and digits, with the marks that are part of them (as in Hindi)."""
    last = " "
    for char in text:
        kind = unicodedata.category(char)[0]
        alone = last == " " and kind == "M"
        last = char if kind in "LNM" and not alone else " "
        yield last


class NameTemplate:
    """
    A template for the names of a job's files, all of them inside its folder.

    Args:
        template: Text with fields in braces: `{index:06d}` (the item's number),
            `{slug}` (of the prompt), `{key8}`, `{key}`, `{id}` (the caller's),
            `{model}`, `{quality}`, `{size}`. The picture's kind adds the extension.

    Raises:
        InvalidRequestError: It has an unknown field or a character no name may have, or
            begins with a dot.
    """

    def __init__(self, template: str = DEFAULT_NAME) -> None:
        self.template = template
        try:
            parts = list(string.Formatter().parse(template))
        except ValueError as error:
            raise _refused(template, str(error)) from None
        for text, field, spec, conversion in parts:
            if found := _FORBIDDEN.search(text):
                raise _refused(template, f"{found[0]!r} cannot stand in a name")
            if field is None:
                continue
            if field not in FIELDS or conversion:
                known = ", ".join(f"{{{name}}}" for name in FIELDS)
                raise _refused(template, f"{{{field}}} is not one of {known}")
            if spec and not (field == "index" and _SPEC.fullmatch(spec)):
                raise _refused(template, f"{{{field}:{spec}}} is not understood")
        if not any(field for _, field, _, _ in parts):
            raise _refused(template, "it names every picture alike")
        if template.startswith("."):
            raise _refused(template, "a name that begins with a dot is hidden")

    def name(
        self, number: int, key: str, caller_id: object, request: ImageRequest
    ) -> str:
        """Name an item's file, without its extension."""
        fields: Mapping[str, object] = {
            "index": number,
            "slug": slug(request.prompt),
            "key8": key[:8],
            "key": key,
            "id": slug(str(caller_id), 100) if caller_id is not None else key[:8],
            "model": slug(request.model),
            "quality": slug(str(request.quality or "")),
            "size": slug(str(request.size or "")),
        }
        name = self.template.format_map(fields).strip(" .-")
        while len(name.encode()) > LONGEST_NAME:
            name = name[:-1]
        if not name or _DEVICES.fullmatch(name):
            name = f"picture-{name}-{key[:8]}"
        return name


def _refused(template: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(f"name: {template!r}: {why}", field="name")
