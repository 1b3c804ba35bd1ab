"""The judge's own options and fixtures: the service, the shim and the client, once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.judge.client import AT_ONCE, Client
from support.judge.paid_service import PaidService
from support.judge.shim import NoCompilerError, build


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("the judge of durable jobs")
    group.addoption("--kills", type=int, default=40, help="random kills to try")
    group.addoption("--signals", type=int, default=50, help="random signals to try")
    group.addoption(
        "--power-states", type=int, default=360, help="states after power loss to try"
    )
    group.addoption(
        "--faults", type=int, default=0, help="disk faults to try, if more than needed"
    )


@pytest.fixture(scope="session")
def paid_service() -> Iterator[PaidService]:
    with PaidService() as service:
        yield service


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build(tmp_path_factory.mktemp("shim"))
    except NoCompilerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def client(shim: Path) -> Iterator[Client]:
    with Client(shim, at_once=AT_ONCE) as client:
        yield client
