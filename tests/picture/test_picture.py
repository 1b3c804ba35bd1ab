"""A picture: what bytes are one, how it is saved and shown."""

import base64
import os
import stat

import pytest
from support.clients import KEY
from support.pictures import PictureHost

from zai_images import (
    ImageSession,
)
from zai_images.sandbox import Sandbox


class TestSaving:
    async def test_a_picture_is_saved_whole_private_and_over_an_old_one(self, tmp_path):
        async with Sandbox(speed=1000, pictures="plain") as sandbox:
            async with ImageSession(
                api_key=sandbox.api_key, base_url=sandbox.base_url
            ) as session:
                picture = await session.generate_picture("a fox", size="512x528")

        target = tmp_path / "fox.png"
        target.write_bytes(b"old")
        old_mask = os.umask(0)
        try:
            assert await picture.save(str(target)) == target
        finally:
            os.umask(old_mask)

        assert target.read_bytes() == picture.data
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert os.listdir(tmp_path) == ["fox.png"]
        assert (picture.width, picture.height) == (512, 528)
        assert picture.request.prompt == "a fox"
        assert picture.cost is None
        assert picture.latency > 0

    async def test_a_failed_save_leaves_no_part_behind(self, tmp_path, monkeypatch):
        picture = await self.any_picture()

        def no_space(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("zai_images._picture.picture.os.fsync", no_space)
        with pytest.raises(OSError, match="No space"):
            await picture.save(tmp_path / "a.png")
        assert os.listdir(tmp_path) == []

        with pytest.raises(FileNotFoundError):
            await picture.save(tmp_path / "missing" / "a.png")

    async def test_a_notebook_shows_the_picture_from_the_bytes_it_has(self):
        picture = await self.any_picture()

        shown, sizes = picture._repr_mimebundle_()

        assert base64.b64decode(shown["image/png"]) == picture.data
        assert sizes["image/png"] == {"width": 32, "height": 16}
        assert "bytes>" in shown["text/plain"]

    async def any_picture(self):
        async with PictureHost() as host:
            async with ImageSession(
                api_key=KEY, base_url="http://127.0.0.1:9"
            ) as session:
                return await session.download(host.url)
