"""
TLS that is not to be trusted is refused, by the API's side and by the pictures'.

Each runs in a process of its own, with an environment that would turn the checks off or
down; our authority is trusted there by SSL_CERT_FILE, which can only add trust. A good
server, reached in the same way, shows that the others fail for their own fault alone.
"""

import asyncio
import contextlib
import json
import os
import ssl
import sys

import pytest
from support.certificates import Authority, self_signed
from support.faults import Wire, ok
from support.pictures import picture

pytestmark = pytest.mark.tried("TLS not to be trusted")

CLIENT = """
import asyncio, json, sys
from zai_images import *

async def attempt(url):
    retry = RetryPolicy(connect_errors=0)
    found = []
    config = SessionConfig(api_key="sk-canary-key", base_url=url + "/v4", retry=retry)
    async with ImageSession(config) as session:
        fetch = session.requester.resources.downloader.fetch
        for call in (session.generate("a fox"), fetch(url + "/a.png")):
            try:
                found.append(type(await call).__name__)
            except ZaiImagesError as error:
                found.append(f"{type(error).__name__} {error.billed}")
            except Exception as error:
                found.append(f"{type(error).__name__}: {error}")
    return found

async def main():
    urls = json.loads(sys.argv[1])
    print(json.dumps({name: await attempt(url) for name, url in urls.items()}))

asyncio.run(main())
"""
ENVIRONMENTS = {
    "nothing special": {},
    "the switch of old": {"PYTHONHTTPSVERIFY": "0"},
    "switches of other libraries": {
        "CURL_CA_BUNDLE": "",
        "REQUESTS_CA_BUNDLE": "",
        "NODE_TLS_REJECT_UNAUTHORIZED": "0",
        "GIT_SSL_NO_VERIFY": "1",
        "SSL_VERIFY": "0",
    },
    "development mode": {"PYTHONDEVMODE": "1", "PYTHONASYNCIODEBUG": "1"},
    "without aiohttp's extensions": {"AIOHTTP_NO_EXTENSIONS": "1"},
    "a configuration of OpenSSL": {"OPENSSL_CONF": "openssl.cnf"},
}
LENIENT = """
openssl_conf = main
[main]
ssl_conf = ssl
[ssl]
system_default = lenient
[lenient]
MinProtocol = TLSv1
CipherString = ALL:@SECLEVEL=0
VerifyMode = None
"""
PAGE = picture()


async def accept(reader, writer):
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        await serve(Wire(reader, writer))
    writer.close()


async def serve(wire: Wire):
    while True:
        head = await wire.reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            body = PAGE
        else:
            length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            await wire.reader.readexactly(int(length))
            body = b'{"created":1,"data":[{"url":"https://example.com/a.png"}]}'
        await wire.send(ok(body))


class Servers:
    """Serve TLS in each of the ways."""

    def __init__(self, folder):
        ours, theirs = Authority(folder), Authority(folder / "theirs")
        self.trusted = ours.path
        self._good = ours.certificate(folder, "127.0.0.1")
        self._certificates = {
            "good": self._good,
            "self-signed": self_signed(folder),
            "expired": ours.certificate(folder, "127.0.0.1", (-9, -1)),
            "not yet": ours.certificate(folder, "127.0.0.1", (1, 9)),
            "wrong host": ours.certificate(folder, "other.example"),
            "wrong address": ours.certificate(folder, "127.0.0.2"),
            "another authority": theirs.certificate(folder / "theirs", "127.0.0.1"),
        }

    def _contexts(self):
        for name, path in self._certificates.items():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path)
            yield name, context
        for name, version in [
            ("TLS 1.0 only", ssl.TLSVersion.TLSv1),
            ("TLS 1.1 only", ssl.TLSVersion.TLSv1_1),
        ]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._good)
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            yield name, context

    async def __aenter__(self):
        self._servers, self.urls = [], {}
        for name, context in self._contexts():
            server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
            self.urls[name] = f"https://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_):
        for server in self._servers:
            server.close()
            await server.wait_closed()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
async def test_a_client_that_takes_the_old_versions_is_served(version, tmp_path):
    """Else their refusal would say nothing about our side."""
    (tmp_path / "theirs").mkdir()
    lenient = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lenient.check_hostname, lenient.verify_mode = False, ssl.CERT_NONE
    lenient.set_ciphers("ALL:@SECLEVEL=0")
    lenient.minimum_version = lenient.maximum_version = ssl.TLSVersion[version]
    async with Servers(tmp_path) as servers:
        name = {"TLSv1": "TLS 1.0 only", "TLSv1_1": "TLS 1.1 only"}[version]
        port = int(servers.urls[name].rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=lenient)
        used = writer.get_extra_info("ssl_object").version()
        writer.close()

    assert used == {"TLSv1": "TLSv1", "TLSv1_1": "TLSv1.1"}[version]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
async def test_only_the_good_one_gets_anything(environment, tmp_path, record_property):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "openssl.cnf").write_text(LENIENT)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with Servers(tmp_path) as servers:
        client = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CLIENT,
            json.dumps(servers.urls),
            cwd=tmp_path,
            env=os.environ | environment | {"SSL_CERT_FILE": str(servers.trusted)},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await client.communicate()
    found = json.loads(out)
    record_property("cases", 2 * len(found))

    assert found.pop("good") == ["ImageResponse", "Picture"]
    assert len(found) == 8
    for name, (api, picture_host) in found.items():
        assert api == "ConnectError no", name
        assert picture_host.startswith("FetchError: the connection failed"), name
