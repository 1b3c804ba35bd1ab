"""
A local server that speaks the image API, for tests, demos and load tests.

It reads the service's API page for itself and shares no code with the client, so it
can disagree with the client. It listens on loopback only, and costs nothing.
"""

from zai_images.sandbox._bill import Bill, BillEntry
from zai_images.sandbox._faults import Fault
from zai_images.sandbox._log import LoggedRequest
from zai_images.sandbox._picture_host import PictureRequest
from zai_images.sandbox._server import Sandbox

__all__ = ["Bill", "BillEntry", "Fault", "LoggedRequest", "PictureRequest", "Sandbox"]
