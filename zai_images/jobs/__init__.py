"""Bulk jobs: the requests of a file, checked before anything is paid."""

from zai_images.jobs._inputs import (
    InputCheck,
    PromptFile,
    check_requests,
    read_requests,
)
from zai_images.jobs._records import BadLine, Format

__all__ = [
    "BadLine",
    "Format",
    "InputCheck",
    "PromptFile",
    "check_requests",
    "read_requests",
]
