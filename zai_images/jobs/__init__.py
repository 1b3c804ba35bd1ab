"""
Durable bulk jobs: thousands to millions of pictures, over days, and nothing lost.

    async with ImageJob.open("pictures") as job:
        report = await job.run(session, requests)
"""

from zai_images.jobs._errors import DiskError, JobError
from zai_images.jobs._input.files import (
    InputCheck,
    PromptFile,
    check_requests,
    read_requests,
)
from zai_images.jobs._input.formats import BadLine, Format
from zai_images.jobs._job import ImageJob
from zai_images.jobs._names import DEFAULT_NAME, slug
from zai_images.jobs._report import (
    Damage,
    ItemMoved,
    JobPlan,
    JobRecord,
    JobReport,
    JobStatus,
    Spend,
    Unwritten,
)
from zai_images.jobs._states import State

__all__ = [
    "DEFAULT_NAME",
    "BadLine",
    "Damage",
    "DiskError",
    "Format",
    "ImageJob",
    "InputCheck",
    "ItemMoved",
    "JobError",
    "JobPlan",
    "JobRecord",
    "JobReport",
    "JobStatus",
    "PromptFile",
    "Spend",
    "State",
    "Unwritten",
    "check_requests",
    "read_requests",
    "slug",
]
