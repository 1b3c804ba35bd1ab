"""One timer for all attempts in flight."""

from zai_images._http.body import Sending
from zai_images._http.deadlines import Clock


async def test_after_the_end_no_attempt_begins_that_nobody_would_end():
    clock = Clock(1)
    clock.close()
    sending = Sending(b"{}", clock, lambda: None)
    clock.start(sending)

    assert sending.expired
