"""The loops and task factories that whole suites are run under, by `--loop`."""

import asyncio
import asyncio.tasks
from collections.abc import Callable


class EagerTask(asyncio.tasks._PyTask):
    """
    A task that takes its first step while it is made, before Python 3.12 too.

    It does what `asyncio.eager_task_factory` does: the maker is left, the step is taken
    in the new task's name, and the maker is entered again.
    """

    def __init__(self, coro, *, loop, **options) -> None:
        super().__init__(coro, loop=loop, **options)
        maker = asyncio.current_task(loop)
        if maker is None:
            return  # nobody runs, so there is nobody to be inside of
        first = loop._ready.pop()
        asyncio.tasks._leave_task(loop, maker)
        try:
            first._run()
        finally:
            asyncio.tasks._enter_task(loop, maker)


def eager_loop() -> asyncio.AbstractEventLoop:
    """Make a loop whose tasks begin inside `create_task`."""
    loop = asyncio.new_event_loop()
    factory = getattr(asyncio, "eager_task_factory", None)
    loop.set_task_factory(
        factory or (lambda loop, coro, **more: EagerTask(coro, loop=loop, **more))
    )
    return loop


def uvloop_loop() -> asyncio.AbstractEventLoop:
    """Make a loop of uvloop's; it has no virtual time."""
    import uvloop

    return uvloop.new_event_loop()


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "eager": eager_loop,
    "uvloop": uvloop_loop,
}
