"""Compressed files give the bytes they hold, or as many as can be had, in bounded memory."""

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest

from genus.data.sources.limits import Limits
from genus.data.sources.unpack import Broken, Gunzip, unpacked


def zstd(data: bytes) -> bytes:
    return bytes(pyarrow.compress(data, codec="zstd", asbytes=True))


PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstd}
DATA = b"".join(b"%d: %d\n" % (i, random.Random(i).getrandbits(60)) for i in range(20_000))


def lines(path: Path) -> tuple[list[bytes], str]:
    """What can be read by lines, and the reason it ended."""
    found: list[bytes] = []
    with unpacked(path) as file:
        try:
            while line := file.readline():
                found.append(line)
        except Broken as error:
            return found, error.reason
    return found, ""


@pytest.mark.parametrize("suffix", PACK)
def test_members_are_joined_and_padding_ignored(tmp_path: Path, suffix: str) -> None:
    path, half = tmp_path / f"x{suffix}", len(DATA) // 2
    path.write_bytes(PACK[suffix](DATA[:half]) + PACK[suffix](DATA[half:]) + (bytes(700) if suffix == ".gz" else b""))
    with unpacked(path) as file:
        assert file.read() == DATA
    path.write_bytes(b"")
    assert lines(path) == ([], "")


@pytest.mark.parametrize("suffix", PACK)
def test_a_cut_file_gives_nearly_all_before_the_cut(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    raw = PACK[suffix](DATA)
    path.write_bytes(raw[: len(raw) * 3 // 4])
    found, reason = lines(path)
    assert reason == "broken file"
    assert b"".join(found) == DATA[: len(b"".join(found))]
    # A block of zstd is 128 KiB, all or nothing.
    assert len(b"".join(found)) > len(DATA) * 3 // 4 - 2**17 - 2**16


@pytest.mark.parametrize("suffix", PACK)
def test_what_is_not_compressed_at_all_is_broken(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(DATA)
    assert lines(path) == ([], "broken file")


@pytest.mark.parametrize("suffix", PACK)
def test_a_bomb_ends_early_in_little_memory(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "SLACK", 10 * 2**20)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(PACK[suffix](bytes(64 * 2**20)))
    allowed = Limits.SLACK + Limits.EXPANSION * path.stat().st_size
    assert allowed < 64 * 2**20
    got = 0
    tracemalloc.start()
    with unpacked(path) as file, pytest.raises(Broken, match="expands too much"):
        while data := file.read(2**16):
            got += len(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert allowed - 2**17 < got <= allowed + 2**16
    assert peak < 2**20


@pytest.mark.parametrize("chunk", [1, 1000, 2**16])
def test_salvage_loses_only_the_damaged_member(tmp_path: Path, chunk: int) -> None:
    parts = [DATA[i * 3000 : (i + 1) * 3000] for i in range(6)]
    packed = [gzip.compress(part) for part in parts]
    packed[1] = packed[1][:50] + b"\xff" * 50 + packed[1][100:]  # damage within
    packed[3] = b"not a member at all" * 9
    packed[5] = packed[5][:-20]
    (tmp_path / "x.gz").write_bytes(b"".join(packed))
    damage: list[str] = []
    with (tmp_path / "x.gz").open("rb") as file:
        member = Gunzip(file, damage)
        got = b"".join(iter(lambda: member.read(chunk), b""))
    assert all(part in got for part in (parts[0], parts[2], parts[4]))
    assert parts[1] not in got
    starts = [sum(map(len, packed[:i])) for i in range(6)]
    assert [int(note.split()[4].rstrip(":")) for note in damage] == [starts[1], starts[3], starts[5]]


def test_a_member_longer_than_a_read_is_checked(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(random.Random(1).randbytes(300_000), 0))
    raw[200_000] ^= 1  # stored, so only the check at the end can know
    (tmp_path / "x.gz").write_bytes(raw)
    with unpacked(tmp_path / "x.gz") as file, pytest.raises(Broken, match="incorrect data check"):
        file.read()
    with pytest.raises(zlib.error, match="incorrect data check"):
        zlib.decompress(bytes(raw), 31)
