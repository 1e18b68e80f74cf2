"""The catalogue: whole, and sensible about what fits a machine."""

from __future__ import annotations

import pytest

from inhouse.errors import ModelNotFoundError
from inhouse.store import CATALOGUE, Packages, find, propose


def test_the_starter_s_parts_make_up_its_size() -> None:
    source = CATALOGUE["starter"].source
    assert isinstance(source, Packages)
    assert len(source.parts) == 22
    assert sum(part.size for part in source.parts) == CATALOGUE["starter"].size == 1_117_320_768
    assert len({part.sha256 for part in source.parts}) == 22


@pytest.mark.parametrize(
    ("gigabytes", "name"),
    [(1, "starter"), (8, "starter"), (16, "starter"), (25, "qwen3.6-35b-a3b"), (512, "qwen3.6-35b-a3b")],
)
def test_the_proposal_fits_the_memory(gigabytes: int, name: str) -> None:
    assert propose(gigabytes * 10**9).name == name


def test_an_unknown_name_is_answered_with_a_close_one() -> None:
    with pytest.raises(ModelNotFoundError, match=r"no model or data set 'startr'; did you mean starter\?"):
        find("startr", CATALOGUE)
