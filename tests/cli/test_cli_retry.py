"""Some requests of a job, sent once more."""

from support.command_line import pictures


async def test_retry_sends_what_failed_and_nothing_else(batch, cli, service):
    service.fail("a bear", code="1210", times=1)
    service.fail("a cat", code="1301", times=1)
    first = await batch()
    assert "1 failed for free: zai-images retry out --only failed" in first.err
    assert (await batch()).code == 1  # the same command sends neither again
    assert service.requests == 3

    ran = await cli("retry", "out", "--only", "failed")

    assert ran.code == 1  # the refused one stays
    assert (service.requests, service.bill.total) == (4, 2)
    assert len(ran.out.splitlines()) == 1
    assert "PARTIAL: 3 requests: 1 made, 1 already there, 1 refused" in ran.err


async def test_retry_needs_to_be_told_what(cli, service):
    ran = await cli("retry", "out")

    assert ran.code == 2
    assert "--only" in ran.err


async def test_retry_keeps_within_its_caps(batch, cli, service):
    for prompt in ("a fox", "a bear", "a cat"):
        service.fail(prompt, code="1210", times=1)
    await batch()

    ran = await cli("retry", "out", "--only", "failed", "--max-pictures", "2")
    assert (ran.code, service.bill.total) == (5, 2)

    ran = await cli("retry", "out", "--only", "failed", "--name", "{slug}-{key8}")
    assert (ran.code, service.bill.total) == (0, 3)
    assert len([name for name in pictures() if name[0] != "0"]) == 1
