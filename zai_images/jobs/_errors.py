"""What can be wrong with a job itself."""

from zai_images._errors import Stops, ZaiImagesError


class JobError(ZaiImagesError):
    """
    Say that a job cannot go on as it is: in use, of another service, not a job.

    Nothing was sent for what it refuses, and nothing that was paid is lost.
    """

    stops: Stops = "everything"


class DiskError(JobError):
    """
    Say that the disk did not take what must be on it before anything else happens.

    What was paid is kept as far as the disk allows; free some space, or mend the disk,
    and run the same command again. A damaged journal wants a copy of the job instead.
    """
