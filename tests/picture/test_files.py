"""Files that appear whole, and are their owner's alone."""

from pathlib import Path


def test_files_are_written_beside_their_target(tmp_path: Path):
    """A rename across two file systems would not be atomic."""
    from zai_images._picture.picture import write_atomically

    for name in ("x" * 200 + ".png", "\N{FOX FACE}" * 62 + ".png"):
        write_atomically(tmp_path / name, b"data")

        assert (tmp_path / name).read_bytes() == b"data"
