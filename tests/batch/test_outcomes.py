"""What a batch says of the money: of each item, and summed up."""

import pytest
from support.clients import client, plain

from zai_images import (
    AnswerLostError,
    BatchRunner,
    Done,
    DownloadError,
    Failed,
)
from zai_images.sandbox import Fault

pytestmark = pytest.mark.looptime


class TestMoney:
    async def test_a_failed_download_keeps_the_paid_link(self):
        faults = [Fault(prompt="fox 1", action="missing_picture")]
        async with plain(limit=5, faults=faults) as sandbox:
            async with client(sandbox) as session:
                runner = BatchRunner(session, download=True)
                outcomes = await runner.run(f"fox {n}" for n in range(3))

            assert sandbox.bill.total == 3

        failed = outcomes[1]
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, DownloadError)
        assert failed.error.billed == "yes"
        assert failed.response.url == failed.error.response.url
        assert [type(one) for one in outcomes] == [Done, Failed, Done]

    async def test_the_summary_tells_paid_from_maybe_paid(self):
        faults = [
            Fault(prompt="fox 0", action="missing_picture"),
            Fault(prompt="fox 1", action="reset"),
            Fault(prompt="fox 2", code="1301"),
        ]
        async with plain(limit=5, faults=faults) as sandbox:
            async with client(sandbox) as session:
                runner = BatchRunner(session, download=True)
                async with runner.run([f"fox {n}" for n in range(5)] + [""]) as run:
                    async for _ in run:
                        pass

        summary = run.summary
        assert (summary.done, summary.failed) == (2, 4)
        assert (summary.billed, summary.maybe_billed) == (3, 1)

    async def test_every_fault_in_a_batch_is_billed_at_most_once(self):
        faults = [
            Fault(prompt="fox 1", action="truncate"),
            Fault(prompt="fox 2", action="empty"),
            Fault(prompt="fox 3", action="null_url"),
            Fault(prompt="fox 4", action="reset", billed=True),
            Fault(prompt="fox 5", action="html", billed=True),
            Fault(prompt="fox 6", action="truncated_picture", fetches=2),
            Fault(prompt="fox 7", action="missing_picture", fetches=3),
            Fault(prompt="fox 8", code="1302", times=3),
        ]
        async with plain(limit=5, faults=faults) as sandbox:
            async with client(sandbox) as session:
                runner = BatchRunner(session, download=True)
                outcomes = await runner.run(f"fox {n}" for n in range(12))

            for one in outcomes:
                assert len(sandbox.bill.for_prompt(one.request.prompt)) == 1
        lost = [one.index for one in outcomes if isinstance(one, Failed)]
        assert lost == [1, 2, 3, 4, 5]
        assert all(outcomes[n].error.maybe_billed for n in lost)
        assert isinstance(outcomes[4].error, AnswerLostError)

    async def test_the_key_never_reaches_the_picture_host(self):
        async with plain(limit=5) as sandbox, client(sandbox) as session:
            await BatchRunner(session, download=True).run(["a fox"] * 5)

            assert len(sandbox.picture_requests) == 5
            assert not any(one.carried_key for one in sandbox.picture_requests)
