"""Deletion vectors: Java's own bytes, and bitmaps with every kind of container."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from tsdb.errors import CorruptFile
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.deletion_vector import MAGIC_32, MAGIC_64, read_deletion_vector

IO = LocalFileIO()
# written by Paimon Java 1.4.2: rows 3 and 5, in 32 and in 64 bit
JAVA_32 = "01" "00000018" "5e43f2d0" "3a300000010000000000010010000000" "03000500" "267e36de"
JAVA_64 = "01" "00000024" "d1d33964" "0100000000000000" "00000000" "3a30000001000000000001001000000003000500" "9467f8a4"


def roaring(positions: set[int], *, runs: bool) -> bytes:
    """RoaringBitmap's portable serialization, one position after the other. runs: all containers are of runs."""
    containers: dict[int, list[int]] = {}
    for position in sorted(positions):
        containers.setdefault(position >> 16, []).append(position & 0xFFFF)
    bodies = []
    for low in containers.values():
        if runs:
            present = set(low)
            begins = [v for v in low if v - 1 not in present]
            ends = [v for v in low if v + 1 not in present]
            pairs = [(b, e - b) for b, e in zip(begins, ends, strict=True)]
            bodies.append(struct.pack("<H", len(pairs)) + b"".join(struct.pack("<HH", *pair) for pair in pairs))
        elif len(low) <= 4096:
            bodies.append(struct.pack(f"<{len(low)}H", *low))
        else:
            bits = np.zeros(65536, np.uint8)
            bits[low] = 1
            bodies.append(np.packbits(bits, bitorder="little").tobytes())
    count = len(containers)
    if runs:
        head = struct.pack("<I", 12347 | (count - 1) << 16) + b"\xff" * ((count + 7) // 8)
    else:
        head = struct.pack("<II", 12346, count)
    head += b"".join(struct.pack("<HH", key, len(low) - 1) for key, low in containers.items())
    if not runs or count >= 4:
        first = len(head) + 4 * count
        head += struct.pack(f"<{count}I", *(first + sum(len(b) for b in bodies[:i]) for i in range(count)))
    return head + b"".join(bodies)


def block(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data + struct.pack(">I", zlib.crc32(data))


def read(path: Path, data: bytes, offset: int = 1) -> list[int]:
    path.write_bytes(data)
    positions: list[int] = read_deletion_vector(IO, str(path), offset).tolist()
    return positions


@pytest.mark.parametrize("data", [JAVA_32, JAVA_64], ids=["32", "64"])
def test_the_bytes_of_java(data: str, tmp_path: Path) -> None:
    assert read(tmp_path / "index-1", bytes.fromhex(data)) == [3, 5]


def sets() -> list[set[int]]:
    rng = np.random.default_rng(11)
    dense = set(rng.integers(0, 65536, 30_000).tolist())
    several = {int(high) << 16 | int(low) for high in (0, 1, 7, 9, 40_000) for low in rng.integers(0, 500, 100)}
    return [{0}, {65535}, dense, set(range(70_000)), several | dense, {2**32 - 1, 5}]


@pytest.mark.parametrize("runs", [False, True], ids=["arrays", "runs"])
@pytest.mark.parametrize("case", range(len(sets())))
def test_every_kind_of_container(case: int, runs: bool, tmp_path: Path) -> None:
    wanted = sets()[case]
    first = block(struct.pack(">i", MAGIC_32) + roaring({1}, runs=False))
    second = block(struct.pack(">i", MAGIC_32) + roaring(wanted, runs=runs))
    assert read(tmp_path / "index-1", b"\x01" + first + second, 1 + len(first)) == sorted(wanted)
    high = struct.pack("<i", MAGIC_64) + struct.pack("<q", 2)
    for key in (0, 3):
        high += struct.pack("<i", key) + roaring(wanted, runs=runs)
    assert read(tmp_path / "index-2", b"\x01" + block(high)) == sorted(wanted | {3 << 32 | p for p in wanted})


def test_damage_is_named(tmp_path: Path) -> None:
    good = bytes.fromhex(JAVA_32)
    unknown = block(struct.pack(">i", 7) + roaring({1}, runs=False))
    cookie = block(struct.pack(">i", MAGIC_32) + struct.pack("<I", 99))
    for data, why in (
        (good[:-1] + b"\0", "checksum"),
        (good[:10], "too early"),
        (b"\x01" + unknown, "magic"),
        (b"\x01" + cookie, "cookie"),
    ):
        with pytest.raises(CorruptFile, match=f"index-9.*{why}"):
            read(tmp_path / "index-9", data)
