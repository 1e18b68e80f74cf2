"""What a store says of the models on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from inhouse.errors import ModelNotFoundError
from inhouse.store import Store, resolve


def _install(root: Path, name: str, *files: str) -> None:
    for file in files:
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / file).write_bytes(b"12345")


def test_models_are_listed_by_name_with_what_to_open(tmp_path: Path) -> None:
    _install(tmp_path, "b", "model.gguf")
    _install(tmp_path, "a", "config.json", "model-1.safetensors", "model-2.safetensors")
    _install(tmp_path, "no-model", "readme.txt")
    _install(tmp_path / ".partial", "c", "c.gguf")
    assert [(m.name, m.path, m.size) for m in Store(tmp_path).list()] == [
        ("a", tmp_path / "a", 15),
        ("b", tmp_path / "b" / "model.gguf", 5),
    ]


def test_a_store_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert Store(tmp_path / "nowhere").list() == []


def test_a_name_or_a_path_resolves(tmp_path: Path) -> None:
    _install(tmp_path, "mine", "model.gguf")
    assert resolve("mine", tmp_path) == tmp_path / "mine" / "model.gguf"
    assert resolve(tmp_path / "mine", tmp_path / "elsewhere") == tmp_path / "mine"


def test_a_model_of_the_catalogue_that_is_not_here_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"run `inhouse pull starter`"):
        resolve("starter", tmp_path)


@pytest.mark.parametrize("name", ["nothing", "../mine", ".partial", "", "mine/model.gguf"])
def test_other_names_say_what_there_is(tmp_path: Path, name: str) -> None:
    _install(tmp_path / "store", "here", "model.gguf")
    _install(tmp_path, "mine", "model.gguf")
    with pytest.raises(ModelNotFoundError, match=r"\(here\).*starter"):
        Store(tmp_path / "store").path(name)


def test_removing_takes_the_model_and_what_a_pull_left(tmp_path: Path) -> None:
    _install(tmp_path, "mine", "model.gguf")
    _install(tmp_path / ".partial", "mine", "half")
    _install(tmp_path, "other", "model.gguf")
    store = Store(tmp_path)
    assert store.size("mine") == 10
    store.remove("mine")
    assert [m.name for m in store.list()] == ["other"]
    assert not (tmp_path / ".partial" / "mine").exists()
    with pytest.raises(ModelNotFoundError, match="no model 'mine'"):
        store.remove("mine")


@pytest.mark.parametrize("name", ["..", ".", "", "../other"])
def test_nothing_outside_the_store_is_removed(tmp_path: Path, name: str) -> None:
    _install(tmp_path / "store", "mine", "model.gguf")
    _install(tmp_path, "other", "model.gguf")
    with pytest.raises(ModelNotFoundError):
        Store(tmp_path / "store").remove(name)
    assert (tmp_path / "other" / "model.gguf").exists()
    assert (tmp_path / "store" / "mine" / "model.gguf").exists()
