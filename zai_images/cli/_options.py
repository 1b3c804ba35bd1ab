"""The options that several commands share."""

from collections.abc import Mapping
from typing import Annotated

import attrs
from cyclopts import Parameter

JSON = Annotated[
    bool, Parameter(name="--json", help="Write the data on stdout as JSON.")
]
SANDBOX = Annotated[
    bool,
    Parameter(
        help="Use a private sandbox on this machine: no key is needed, nothing is paid."
    ),
]


@Parameter(name="*")  # its fields are options of the command itself
@attrs.frozen(kw_only=True)
class PictureOptions:
    """Hold what a picture shall be; what is left out is the model's own default."""

    model: Annotated[
        str | None, Parameter(help="Model code; cogview-4-250304 if left out.")
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
    def given(self) -> Mapping[str, str]:
        """The options that were written, as fields of a request."""
        return {k: v for k, v in attrs.asdict(self).items() if v is not None}
