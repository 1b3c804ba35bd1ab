"""
The pytest plugin of zai-images: a sandbox of the service for each test that wants one.

pytest loads it in every run of an environment that has zai-images installed, so its
import loads nothing: what it needs is loaded by the first test that asks for a fixture.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from zai_images._session.session import ImageSession
    from zai_images.sandbox import Sandbox


def pytest_configure(config: pytest.Config) -> None:
    """Register the two markers, so that --strict-markers knows them."""
    for fixture, settings in (
        ("zai_sandbox", "zai_images.sandbox.Sandbox"),
        ("zai_session", "zai_images.testing.quick_session"),
    ):
        about = f"{fixture}(**settings): of the fixture, as {settings} takes them"
        config.addinivalue_line("markers", about)


@pytest.fixture
def zai_sandbox(request: pytest.FixtureRequest) -> Iterator["Sandbox"]:
    """A sandbox of Z.AI's image service for this test, in a thread of its own."""
    from zai_images.testing import sandbox_in_thread  # noqa: PLC0415 - see above

    with sandbox_in_thread(**_settings(request, "zai_sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def zai_session(
    request: pytest.FixtureRequest, zai_sandbox: "Sandbox"
) -> Iterator["ImageSession"]:
    """An ImageSession at this test's sandbox, closed afterwards."""
    from zai_images.testing import quick_session  # noqa: PLC0415 - see above

    with quick_session(zai_sandbox, **_settings(request, "zai_session")) as session:
        yield session


def _settings(request: pytest.FixtureRequest, marker: str) -> dict[str, Any]:
    """Merge the markers of the module, the class and the test; the nearest wins."""
    settings: dict[str, Any] = {}
    for mark in request.node.iter_markers(marker):
        if mark.args:
            raise pytest.UsageError(f"@pytest.mark.{marker} takes keywords only")
        settings = {**mark.kwargs, **settings}
    return settings
