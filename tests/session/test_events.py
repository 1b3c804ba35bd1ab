"""What an observer is told, and that it disturbs nobody."""

import pytest
from support.clients import KEY, refusing, scripted

from zai_images import (
    ImageSession,
    ZaiImagesError,
    events,
)
from zai_images.sandbox import Fault, Sandbox


class TestEvents:
    @pytest.mark.looptime
    async def test_an_observer_sees_a_call_from_queue_to_picture(self):
        seen: list[events.Event] = []
        faults = [Fault(status=429, code="1302", nth=1)]
        async with Sandbox(pictures="plain", faults=faults) as sandbox:
            async with ImageSession(
                api_key=sandbox.api_key,
                base_url=sandbox.base_url,
                observer=events.fan_out(seen.append, lambda event: 1 / 0),
            ) as session:
                await session.generate_picture("a fox")

        assert [type(event).__name__ for event in seen] == [
            "Queued", "Sent", "Refused", "Retried", "Sent", "Answered", "Downloaded"
        ]  # fmt: skip
        assert all(event.request.prompt == "a fox" for event in seen)
        assert KEY not in repr(seen)

    async def test_an_observer_that_raises_is_logged_and_changes_nothing(self, caplog):
        async with scripted(observer=lambda event: 1 / 0) as session:
            await session.generate("a fox")

        assert "An observer failed on Queued" in caplog.text

    async def test_a_failed_call_is_an_event(self):
        seen: list[events.Event] = []
        failed = refusing("1301", 400)
        async with scripted(failed, observer=seen.append) as session:
            with pytest.raises(ZaiImagesError):
                await session.generate("a fox")

        assert isinstance(seen[-1], events.Failed)
