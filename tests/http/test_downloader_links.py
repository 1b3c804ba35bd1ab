"""Links that lead astray cost one picture's download, and nothing else."""

import pytest
from aiohttp import web
from support.clients import KEY, offline, saying
from support.faults import FaultServer, Wire
from support.pictures import PictureHost

from zai_images import (
    BatchRunner,
    DownloadError,
    ImageResponse,
    ImageSession,
    ImageURL,
    SessionConfig,
)
from zai_images._http.addresses import AddressRefusedError
from zai_images._http.downloader import Downloader, FetchError, _unreached

pytestmark = pytest.mark.looptime


class TestStrangeLinks:
    @pytest.mark.parametrize(
        "location",
        ["https://[", "//[", "http://[::1", "https://a..b/", f"https://{'a' * 70}/"],
    )
    async def test_a_redirect_to_nonsense_fails_one_picture_and_not_the_batch(
        self, location
    ):
        async def redirects(request):
            return web.Response(status=302, headers={"Location": location})

        async with PictureHost(redirects) as host:
            one = offline(saying({"data": [{"url": host.url}]}))
            async with one:
                outcomes = await BatchRunner(one, download=True).run(["a", "b"])

        assert {type(outcome.error) for outcome in outcomes} == {DownloadError}

    async def test_a_signed_link_goes_out_exactly_as_it_came(self):
        async with PictureHost() as host, offline() as one:
            url = host.url.replace("s3cret", "a%2Fb%2Bc%3D%7E")
            await one.download(url)

        assert host.requests[0].rel_url.raw_query_string == "Signature=a%2Fb%2Bc%3D%7E"

    @pytest.mark.parametrize(
        "host", ["１２７.０.０.１", "169。254。169。254", "localhost。"]
    )
    async def test_behind_a_proxy_other_scripts_spell_no_private_address(self, host):
        async with FaultServer(hear) as proxy:
            config = SessionConfig(api_key=KEY, proxy=f"http://127.0.0.1:{proxy.port}")
            async with ImageSession(config) as one:
                with pytest.raises(DownloadError, match="not a public address"):
                    await one.download(f"https://{host}/a.png")

        assert proxy.connections == 0

    def test_a_response_shows_where_its_link_leads_and_not_the_signature(self):
        response = ImageResponse(
            created=1, images=(ImageURL(url="https://e.example/a.png?Signature=s3"),)
        )

        assert "https://e.example/a.png?***" in repr(response)

    async def test_a_picture_made_to_keep_a_reader_busy_is_given_up_at_once(self):
        body = b"\xff\xd8" + b"\xff" * 2**20

        async def serve(request):
            return web.Response(body=body)

        async with PictureHost(serve) as host, offline() as one:
            with pytest.raises(DownloadError, match="more than 10000 parts"):
                await one.download(host.url)


async def hear(server: FaultServer, wire: Wire) -> None:
    await wire.reader.read()


def test_a_refused_address_is_named_among_several_failures():
    """Where a name has several addresses, each is tried and all failures are told."""
    refused = AddressRefusedError("10.0.0.1 is not public")
    error = OSError("no connection")
    error.__cause__ = ExceptionGroup("two tries", [refused, OSError("unreachable")])

    found = _unreached(error)

    assert "10.0.0.1 is not public" in str(found)
    assert found.lasting


async def test_a_public_address_in_an_odd_spelling_is_not_tried_again():
    """It may lead elsewhere than it seems to, so no connection is made to it."""
    downloader = Downloader(SessionConfig(api_key="k"))
    with pytest.raises(FetchError, match="not a URL") as caught:
        await downloader.fetch("https://8.8.2056/a.png")
    await downloader.aclose()

    assert caught.value.lasting
