"""`zai-images verify`: every saved picture against what was recorded of it."""

from collections import Counter
from collections.abc import Sequence

import attrs

from zai_images.cli._exit import SOME_FAILED
from zai_images.cli._options import FOLDER, JSON
from zai_images.cli._output import Output
from zai_images.cli._signals import SignalHandler, run_command
from zai_images.cli._text import some
from zai_images.jobs import Damage, ImageJob


def verify(folder: FOLDER, /, *, as_json: JSON = False) -> int:
    """
    Read every saved picture of a job, and name those that are not as they were saved.

    It sends nothing and needs no key.
    """
    output = Output(as_json=as_json)

    async def command(_: SignalHandler) -> int:
        damaged: list[Damage] = []
        async with ImageJob.open(folder, read_only=True) as job:
            saved = (await job.status()).saved
            async for damage in job.verify():
                damaged.append(damage)
                if not as_json:
                    line = f"{folder / damage.path}: {damage.reason}"
                    await output.put((line, None))
        if as_json:
            names = [
                attrs.asdict(one) | {"path": str(folder / one.path)} for one in damaged
            ]
            record = {"ok": not damaged, "checked": saved, "damaged": names}
            await output.put((None, record))
        output.say(_words(saved, damaged))
        return SOME_FAILED if damaged else 0

    return run_command(command)


def _words(saved: int, damaged: Sequence[Damage]) -> str:
    if not damaged:
        return f"{some(saved, 'picture')}, all as they were saved"
    counts = Counter(one.kind for one in damaged)
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    words = f"of {some(saved, 'picture')} {told}"
    if counts["damaged"]:
        words += (
            ". The next run of the batch fetches again what was cut off; remove what "
            "is damaged otherwise"
        )
    if counts["damaged"] or counts["missing"]:
        words += (
            ". retry --only missing fetches again what was removed, for free while the "
            "links live"
        )
    return words
