"""A request's body, and the answer's, on their connection."""

from zai_images._http.body import Sending
from zai_images._http.deadlines import Clock


async def test_time_that_is_up_before_anything_is_written_closes_nothing():
    sending = Sending(b"{}", Clock(1), lambda: None)
    sending.expire()

    assert (sending.expired, sending.written) == (True, False)
