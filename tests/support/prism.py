"""Prism's validating proxy: installed by npm where it is missing, and started."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

VERSION = "5.14.2"
FOLDER = Path(__file__).parents[2] / "build" / f"prism-{VERSION}"
PRISM = FOLDER / "node_modules" / ".bin" / "prism"


def missing() -> str | None:
    """Return the reason why Prism cannot run here, if there is one."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"Prism needs {program} (Node 18 or newer), which is not installed"
    return None


def install() -> None:
    """Have npm put Prism into an ignored folder, once."""
    if not PRISM.exists():
        subprocess.run(
            [
                *["npm", "install", "--prefix", FOLDER, "--no-fund", "--no-audit"],
                *["--silent", f"@stoplight/prism-cli@{VERSION}"],
            ],
            check=True,
            timeout=300,
        )


@attrs.define
class Proxy:
    """A running proxy: where it listens, and what it said."""

    base_url: str
    lines: list[str]

    @property
    def warnings(self) -> list[str]:
        """What Prism only tells, and lets pass; complete when it has stopped."""
        return [line for line in self.lines if "Violation:" in line]


@asynccontextmanager
async def proxy(document: Path, base_url: str) -> AsyncIterator[Proxy]:
    """Stand before a server and turn whatever breaks its document into an error."""
    upstream = base_url.removesuffix("/paas/v4")
    process = await asyncio.create_subprocess_exec(
        *[PRISM, "proxy", document, upstream, "--errors", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        while not (found := re.search(r"listening on (http://\S+\d)", "".join(lines))):
            line = await process.stdout.readline()
            assert line, f"Prism did not start: {lines}"
            lines.append(line.decode())
        reading = asyncio.create_task(_read(process.stdout, lines))
        yield Proxy(f"{found[1]}/paas/v4", lines)
        process.terminate()
        await reading  # to the end, so that nothing it said is missed
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _read(stream: asyncio.StreamReader, lines: list[str]) -> None:
    async for line in stream:
        lines.append(line.decode())
