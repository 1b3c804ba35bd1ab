"""The signals that a command hears while it runs."""

import asyncio
import os
import signal

import pytest

from zai_images.cli._signals import SignalHandler


async def hit(*numbers):
    """Send signals to this process, and let the loop hear each."""
    for number in numbers:
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.01)


async def test_the_first_signal_ends_a_command_that_has_no_gentle_way():
    async def command(signals):
        await hit(signal.SIGTERM)
        await asyncio.sleep(60)

    assert await SignalHandler().run(command) == 143


@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGINT, signal.SIGTERM), (signal.SIGHUP, signal.SIGINT)],
)
async def test_the_second_signal_ends_a_command_that_stops_gently(first, second):
    stops = []

    async def command(signals):
        signals.gently = lambda: stops.append(signals.signal)
        await hit(first, second)
        await asyncio.sleep(60)

    assert await SignalHandler().run(command) == 128 + second
    assert stops == [first]


async def test_a_hangup_is_never_the_second_signal():
    stops = []

    async def command(signals):
        signals.gently = lambda: stops.append(signals.signal)
        await hit(signal.SIGHUP, signal.SIGHUP, signal.SIGHUP)
        return 7

    signals = SignalHandler()
    assert await signals.run(command) == 7
    assert stops == [signal.SIGHUP]
    assert signals.exit_code == 129


async def test_a_command_that_is_done_hears_no_signal_any_more():
    async def command(signals):
        return 0

    before = signal.getsignal(signal.SIGTERM)
    assert await SignalHandler().run(command) == 0
    assert signal.getsignal(signal.SIGTERM) == before
