"""What can be wrong with a job itself."""

from zai_images._api.errors import Stops, ZaiImagesError

# The whole folder: a log left beside a copied journal would break that too, and what is
# made again would replace the pictures made since the copy.
RESTORE = (
    "Rename its folder, which keeps the pictures, and put an earlier copy of the "
    "folder in its place. What was made since that copy would be made, and paid for, "
    "again; without a copy nobody knows what was paid."
)


class JobError(ZaiImagesError):
    """
    Raised when a job cannot go on as it is: in use, of another service, not a job.

    Nothing was sent for what it refuses, and nothing that was paid is lost.
    """

    stops: Stops = "everything"


class DiskError(JobError):
    """
    Raised when the disk did not take what must be on it before anything else happens.

    What was paid is kept as far as the disk allows; free some space, or mend the disk,
    and run the same command again. A journal that is damaged inside says so instead.
    """


class MovedError(JobError):
    """Raised when the folder is not the one that was opened: nothing in it is ours."""


# As those of the core: what is stored of an error names the door it is found at.
JobError.__module__ = DiskError.__module__ = "zai_images.jobs"
