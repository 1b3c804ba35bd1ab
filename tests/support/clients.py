"""Sessions as most tests want them: at a server of their own, or at none at all."""

import asyncio
import json

from support.keys import KEY
from support.strange import refusal

from zai_images import ImageSession, SessionConfig
from zai_images.sandbox import Sandbox
from zai_images.testing import Script, ScriptedTransport

# Nobody listens there. It is loopback, so links may lead to a host of the test's.
NOWHERE = "http://127.0.0.1:9/api/paas/v4"


def plain(**settings) -> Sandbox:
    """Make a sandbox whose pictures cost no drawing, quick where seconds are real."""
    if not isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):
        settings.setdefault("speed", 50)
    return Sandbox(pictures="plain", **settings)


def client(server, **settings) -> ImageSession:
    """Make a session at a sandbox, at any server with a `base_url`, or at a URL."""
    own, config = _split(settings)
    key = getattr(server, "api_key", KEY)
    base_url = getattr(server, "base_url", server)
    return ImageSession(SessionConfig(api_key=key, base_url=base_url, **config), **own)


def scripted(*script: Script, **settings) -> ImageSession:
    """Make a session that is answered by a script; its last answer is repeated."""
    own, config = _split(settings)
    config = SessionConfig(api_key=KEY, **config)
    return ImageSession(config, http=ScriptedTransport(script), **own)


def offline(*script: Script, **settings) -> ImageSession:
    """Make a scripted session whose links may lead to a picture host of the test's."""
    return scripted(*script, base_url=NOWHERE, **settings)


def saying(body: object, status: int = 200, **fields) -> Script:
    """Script an answer of any body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Script(status=status, body=data, **fields)


def refusing(code: str, status: int = 429, **fields) -> Script:
    """Script the service's refusal with a code of its table."""
    return saying(refusal(code), status, **fields)


def _split(settings: dict) -> tuple[dict, dict]:
    """Tell what a session takes itself from what its configuration takes."""
    own = {"max_pictures", "max_cost", "observer"} & settings.keys()
    return {name: settings.pop(name) for name in own}, settings
