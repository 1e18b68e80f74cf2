"""The GGUF container: what is written is read, and a damaged header is named, never believed."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from inhouse.errors import ModelFileError, ModelNotFoundError, ParameterError, TensorError
from inhouse.weights.formats import BY_NAME, F32, Q4_K, U8
from inhouse.weights.gguf import read_gguf
from inhouse.weights.gguf_writer import TensorSource, write_gguf
from inhouse.weights.quantize import quantize
from inhouse.weights.tensor import Tensor

METADATA: dict[str, Any] = {
    "general.architecture": "qwen2",
    "text": "grüße, 世界\n",
    "empty": "",
    "yes": True,
    "count": 7,
    "huge": 1 << 40,
    "below": -5,
    "ratio": 0.5,
    "words": ["a", "", "ü"],
    "flags": [True, False],
    "numbers": [1, -2, 3],
    "reals": [0.5, 2],
    "bytes": np.array([0, 255], np.uint8),
    "shorts": np.array([-3], np.int16),
    "doubles": np.array([1e300]),
    "longs": np.array([1 << 50], np.uint64),
    "exact": np.float64(1e300),
}
EXPECTED = METADATA | {
    "reals": [0.5, 2.0], "bytes": [0, 255], "shorts": [-3], "doubles": [1e300], "longs": [1 << 50], "exact": 1e300,
}  # fmt: skip


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def pair(key: str, kind: int, body: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + body


def info(name: str, dims: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def container(
    pairs: Sequence[bytes] = (), infos: Sequence[bytes] = (), data: bytes = bytes(64), version: int = 3
) -> bytes:
    header = b"GGUF" + struct.pack("<IQQ", version, len(infos), len(pairs)) + b"".join(pairs) + b"".join(infos)
    return header + bytes(-len(header) % 32) + data


def tensors() -> list[Tensor]:
    rng = np.random.default_rng(0)
    made = [Tensor.from_float32("vector", rng.normal(size=5).astype(np.float32))]
    for name, fmt in BY_NAME.items():
        values = rng.normal(size=(2, 3, 256)).astype(np.float32)
        made.append(Tensor(f"m.{name}", values.shape, fmt, quantize(fmt, values)))
    return made


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_gguf(tmp_path / "a.gguf", METADATA, [TensorSource.of(t) for t in tensors()])
    return tmp_path / "a.gguf"


def test_what_is_written_is_read(written: Path) -> None:
    file = read_gguf(written)
    assert file.version == 3
    assert dict(file.metadata) == EXPECTED
    assert [type(v) for v in file.metadata.values()] == [type(v) for v in EXPECTED.values()]
    assert list(file.infos) == [t.name for t in tensors()]
    for expected in tensors():
        got = file.tensor(expected.name)
        assert (got.shape, got.format) == (expected.shape, expected.format)
        np.testing.assert_array_equal(got.data, expected.data)


def test_the_gguf_package_reads_it_alike(written: Path) -> None:
    reader = gguf.GGUFReader(written)
    for key, value in EXPECTED.items():
        assert reader.fields[key].contents() == value, key
    for mine, theirs in zip(tensors(), reader.tensors, strict=True):
        assert theirs.name == mine.name
        assert tuple(reversed(theirs.shape)) == mine.shape
        np.testing.assert_array_equal(np.asarray(theirs.data).reshape(-1).view(np.uint8), mine.data.reshape(-1))


def test_files_of_the_gguf_package_are_read(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "b.gguf", "qwen2")
    writer.add_array("nested", [[1, 2], [3]])
    writer.add_uint8("small", 200)
    writer.add_custom_alignment(64)
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    writer.add_tensor("first", values[:, :3].copy())
    writer.add_tensor("second", values.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = read_gguf(tmp_path / "b.gguf")
    assert file.metadata["nested"] == [[1, 2], [3]]
    assert file.metadata["small"] == 200
    np.testing.assert_array_equal(file.tensor("first").float32(), values[:, :3])
    np.testing.assert_array_equal(file.tensor("second").float32(), values)


def test_version_2_and_any_true_byte(tmp_path: Path) -> None:
    path = tmp_path / "v2.gguf"
    flags = pair("flags", 9, struct.pack("<IQ", 7, 3) + b"\0\1\7")
    path.write_bytes(container([flags], [info("t", (2, 3))], np.arange(6, dtype="<f4").tobytes(), version=2))
    file = read_gguf(path)
    assert file.metadata["flags"] == [False, True, True]
    np.testing.assert_array_equal(file.tensor("t").float32(), np.arange(6).reshape(3, 2))


def test_tensors_are_views_that_outlive_the_file_object(written: Path) -> None:
    file = read_gguf(written)
    tensor = file.tensor("m.Q4_K")
    assert np.shares_memory(tensor.data, file.data)
    assert not tensor.data.flags.writeable
    before = tensor.float32()
    del file
    np.testing.assert_array_equal(tensor.float32(), before)


def test_a_large_vocabulary_opens_at_once(tmp_path: Path) -> None:
    words = {"tokens": [f"Ġword{i}" for i in range(150_000)], "merges": [f"a{i} b{i}" for i in range(150_000)]}
    write_gguf(tmp_path / "v.gguf", words, [])
    start = time.process_time()
    file = read_gguf(tmp_path / "v.gguf")
    assert time.process_time() - start < 0.5
    assert file.metadata["tokens"] == words["tokens"]


def test_a_failed_write_leaves_the_old_file(written: Path) -> None:
    before = written.read_bytes()

    def broken() -> Iterator[U8]:
        yield np.zeros(16, np.uint8)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_gguf(written, {}, [TensorSource("t", (8,), F32, broken)])
    assert written.read_bytes() == before
    assert [p.name for p in written.parent.iterdir()] == [written.name]


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    sources = [TensorSource.of(t) for t in tensors()]
    write_gguf(tmp_path / "p.gguf", {}, sources, lambda done, total: seen.append((done, total)))
    total = sum(t.nbytes for t in tensors())
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.parametrize("value", [None, [1, "a"], [[1]], {"a": 1}, np.zeros((2, 2)), np.array(["a"]), np.float16(1)])
def test_values_that_gguf_cannot_hold_are_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ParameterError, match="the key"):
        write_gguf(tmp_path / "x.gguf", {"the key": value}, [])


U64 = struct.Struct("<Q").pack
BIG = (1 << 62) + 3
DAMAGED: Mapping[str, tuple[bytes, str]] = {
    "empty": (b"", "too short"),
    "not gguf": (b"PK\3\4" + bytes(60), "not a GGUF file"),
    "version 1": (container(version=1), "version 1"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + bytes(64), "big-endian"),
    "many tensors": (b"GGUF" + struct.pack("<IQQ", 3, BIG, 0) + bytes(64), "number of tensors"),
    "many keys": (b"GGUF" + struct.pack("<IQQ", 3, 0, BIG) + bytes(64), "number of metadata keys"),
    "long key": (container([U64(BIG) + b"abc"]), "length of metadata key 0"),
    "long string": (container([pair("k", 8, U64(BIG) + b"abc")]), "'k'"),
    "long array": (container([pair("k", 9, struct.pack("<IQ", 4, BIG))]), "'k'"),
    "many strings": (container([pair("k", 9, struct.pack("<IQ", 8, BIG))]), "'k'"),
    "cut string": (container([pair("k", 9, struct.pack("<IQQ", 8, 2, 1 << 40))]), "cut short"),
    "many arrays": (container([pair("k", 9, struct.pack("<IQ", 9, BIG))]), "'k'"),
    "deep arrays": (container([pair("k", 9, struct.pack("<IQ", 9, 1) * 40)]), "too deeply"),
    "value type": (container([pair("k", 77, bytes(8))]), "unknown type 77"),
    "element type": (container([pair("k", 9, struct.pack("<IQ", 77, 0))]), "unknown type 77"),
    "not utf-8": (container([pair("k", 8, U64(2) + b"\xff\xfe")]), "UTF-8"),
    "array not utf-8": (container([pair("k", 9, struct.pack("<IQQ", 8, 1, 2) + b"\xff\xfe")]), "UTF-8"),
    "key twice": (container([pair("k", 7, b"\1")] * 2), "'k' appears twice"),
    "alignment": (container([pair("general.alignment", 4, struct.pack("<I", 33))]), "alignment"),
    "alignment 0": (container([pair("general.alignment", 4, struct.pack("<I", 0))]), "alignment"),
    "alignment text": (container([pair("general.alignment", 8, string("32"))]), "alignment"),
    "tensor twice": (container(infos=[info("t", (2,)), info("t", (2,), offset=32)]), "appears twice"),
    "misaligned": (container(infos=[info("t", (2,), offset=4)]), "not a multiple"),
    "overlap": (container(infos=[info("s", (9,)), info("t", (2,), offset=32)]), "overlaps"),
    "beyond the end": (container(infos=[info("t", (17,))]), "cut short"),
    "far beyond": (container(infos=[info("t", (BIG, BIG))]), "cut short"),
    "offset beyond": (container(infos=[info("t", (1,), offset=1 << 63)]), "cut short"),
    "no dimensions": (container(infos=[info("t", ())]), "0 dimensions"),
    "five dimensions": (container(infos=[info("t", (1,) * 5)]), "5 dimensions"),
    "zero dimension": (container(infos=[info("t", (4, 0))]), "empty shape"),
    "broken block": (container(infos=[info("t", (255,), Q4_K.gguf_id)]), "Q4_K"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_named(tmp_path: Path, case: str) -> None:
    raw, problem = DAMAGED[case]
    path = tmp_path / "bad.gguf"
    path.write_bytes(raw)
    with pytest.raises(ModelFileError, match=problem) as caught:
        read_gguf(path)
    assert caught.value.path == str(path)
    assert caught.value.remedy


def test_every_truncation_is_noticed(written: Path) -> None:
    raw = written.read_bytes()
    end = max(i.offset + (i.nbytes or 0) for i in read_gguf(written).infos.values())
    for length in [*range(0, 2000, 37), len(raw) // 2, end - 1]:
        written.write_bytes(raw[:length])
        with pytest.raises(ModelFileError):
            read_gguf(written)


def test_an_unknown_number_format_hurts_only_who_wants_that_tensor(tmp_path: Path) -> None:
    path = tmp_path / "iq.gguf"
    path.write_bytes(container(infos=[info("a", (2,)), info("b", (256,), kind=19, offset=32)]))
    file = read_gguf(path)
    np.testing.assert_array_equal(file.tensor("a").float32(), [0, 0])
    with pytest.raises(TensorError, match="IQ1_S") as caught:
        file.tensor("b")
    assert caught.value.tensor == "b"
    assert "Q4_K" in caught.value.remedy


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"none\.gguf"):
        read_gguf(tmp_path / "none.gguf")
    with pytest.raises(ModelFileError):
        read_gguf(tmp_path)
