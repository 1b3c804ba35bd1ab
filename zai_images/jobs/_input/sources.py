"""Whatever a job's requests come from, read as requests and bad lines."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import Any

from zai_images._api.errors import InvalidRequestError
from zai_images._api.request import ImageRequest, as_request
from zai_images._batch.source import Requests
from zai_images.jobs._input.files import PromptFile, read_requests
from zai_images.jobs._input.formats import BadLine

Found = ImageRequest | BadLine
_BLOCK = 500


def found_in(requests: PromptFile | Iterable[Any]) -> Iterable[Found]:
    """
    Read requests one by one, and in their place what is wrong with them.

    Raises:
        TypeError: It is a single item, or cannot be iterated.
    """
    if isinstance(requests, PromptFile):
        return read_requests(requests)
    _refuse_one(requests)
    return (_checked(number, item) for number, item in enumerate(requests, 1))


def _refuse_one(requests: object) -> None:
    if isinstance(requests, str | bytes | Mapping | ImageRequest):
        raise TypeError(
            f"a job takes many requests, got one {type(requests).__name__}; pass a list"
        )


def _checked(number: int, item: object) -> Found:
    try:
        return as_request(item)
    except InvalidRequestError as error:
        return BadLine(line=number, message=str(error))


async def blocks(requests: Requests) -> AsyncIterator[list[Found]]:
    """
    Read requests block by block, with turns of the loop in between.

    Raises:
        TypeError: It is a single item, or cannot be iterated.
    """
    _refuse_one(requests)
    block: list[Found] = []
    number = 0
    async for item in _items(requests):
        number += 1
        block.append(_checked(number, item))
        if len(block) == _BLOCK:
            yield block
            block = []
            await asyncio.sleep(0)
    yield block


async def _items(requests: Requests) -> AsyncIterator[object]:
    if isinstance(requests, AsyncIterable):
        async for item in requests:
            yield item
    else:
        for item in requests:
            yield item
