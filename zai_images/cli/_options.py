"""The options that several commands share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import attrs
from cyclopts import Parameter, validators

from zai_images import ImageRequest
from zai_images.cli._prompt_source import STDIN
from zai_images.jobs import DEFAULT_NAME

DEFAULT_MODEL = ImageRequest("any").model
AT_LEAST_ONE = validators.Number(gte=1)

JSON = Annotated[
    bool, Parameter(name="--json", help="Write the data on stdout as JSON.")
]
SANDBOX = Annotated[
    bool,
    Parameter(
        help="Use a private sandbox on this machine: no key is needed, nothing is paid."
    ),
]
FOLDER = Annotated[Path, Parameter(help="The folder of the job.")]
REPEAT = Annotated[
    int,
    Parameter(
        help="Make so many pictures of each prompt; 1 if left out.",
        validator=AT_LEAST_ONE,
    ),
]
NAME = Annotated[
    str,
    Parameter(
        help=f"How files are called: {DEFAULT_NAME} if left out. Fields are index, "
        "slug (of the prompt), key8, key, id, model, quality and size; the extension "
        "is added."
    ),
]


def _file_or_stdin(_: object, prompts: str) -> None:
    """Let `-` through and no option that nobody knows."""
    if prompts.startswith("-") and prompts != STDIN:
        raise ValueError(f"there is no option {prompts}")


PROMPTS = Annotated[
    str,
    Parameter(
        allow_leading_hyphen=True,
        validator=_file_or_stdin,
        help="A .txt with a prompt a line, a .jsonl with request fields or lines of "
        "the OpenAI Batch API, a .csv or .tsv with a column 'prompt', or - for stdin.",
    ),
]


@Parameter(name="*")  # its fields are options of the command itself
@attrs.frozen(kw_only=True)
class PictureOptions:
    """The options of a picture; what is left out is the model's own default."""

    model: Annotated[
        str | None, Parameter(help=f"Model code; {DEFAULT_MODEL} if left out.")
    ] = None
    quality: Annotated[
        str | None,
        Parameter(help="'standard' (5-10 s a picture) or 'hd' (about 20 s)."),
    ] = None
    size: Annotated[
        str | None,
        Parameter(help="Such as 1344x768: sides of 512-2048 px, divisible by 16."),
    ] = None

    @property
    def given(self) -> Mapping[str, Any]:
        """The options that were written, as fields of a request."""
        return {k: v for k, v in attrs.asdict(self).items() if v is not None}


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class CapOptions:
    """The bounds of one run."""

    limit: Annotated[
        int | None,
        Parameter(
            help="At most so many pictures in flight; below that the account's own "
            "limit is found by itself.",
            validator=AT_LEAST_ONE,
        ),
    ] = None
    max_pictures: Annotated[
        int | None,
        Parameter(help="Pay for no more pictures than this.", validator=AT_LEAST_ONE),
    ] = None
    max_cost: Annotated[
        float | None,
        Parameter(
            help="Spend no more US dollars than this.",
            validator=validators.Number(gt=0),
        ),
    ] = None
    max_failures: Annotated[
        int | None,
        Parameter(
            help="Send nothing more once so many requests have failed.",
            validator=AT_LEAST_ONE,
        ),
    ] = None
