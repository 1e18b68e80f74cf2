"""Working trees of all shapes that people have: what a copy of them holds, and what it says of those it cannot copy."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from inhouse.errors import WorkspaceError
from inhouse.workspace import copy_plan, listing
from inhouse.workspace.checkout import Checkout, apply
from inhouse.workspace.git import toplevel
from inhouse.workspace.paths import resolve
from inhouse.workspace.search import Query, files_of, search
from inhouse.workspace.source_files import stamps
from needed import git_program

CALC = "def total(xs):\n    return sum(xs) + 1\n"
REPAIRED = CALC.replace(" + 1", "")


def git(root: Path, *arguments: str) -> str:
    safe = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always"]
    return subprocess.run(
        [git_program(), *safe, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def repository(root: Path, files: dict[str, str]) -> Path:
    """A repository in which these files are committed."""
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "--quiet")
    write(root, files)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "-m", "first")
    return root


@pytest.fixture
def folder(tmp_path: Path, scratch: Path) -> Path:
    return tmp_path


@pytest.fixture
def with_submodules(folder: Path) -> Path:
    """A repository with a submodule that has a submodule."""
    inner = repository(folder / "inner", {"deep.py": "def deep():\n    return 1\n", ".gitignore": "made.py\n"})
    outer = repository(folder / "outer", {"helper.py": "def helper(x):\n    return x\n"})
    git(outer, "submodule", "--quiet", "add", str(inner), "inner")
    git(outer, "commit", "--quiet", "-m", "inner")
    root = repository(folder / "root", {"calc.py": CALC})
    git(root, "submodule", "--quiet", "add", str(outer), "lib")
    git(root, "submodule", "--quiet", "update", "--init", "--recursive")
    git(root, "commit", "--quiet", "-m", "lib")
    return root


class TestSubmodules:
    def test_their_files_are_in_the_copy_and_may_be_edited(self, with_submodules: Path) -> None:
        write(with_submodules / "lib", {"new.py": "NEW = 1\n", "inner/made.py": "MADE = 1\n"})
        with Checkout(with_submodules) as checkout:
            assert {"calc.py", "lib/helper.py", "lib/new.py", "lib/inner/deep.py"} <= checkout.paths
            assert "lib/inner/made.py" not in checkout.paths  # ignored there: needed, and in no patch
            assert (checkout.root / "lib/inner/made.py").read_text() == "MADE = 1\n"
            patch = {"lib/inner/deep.py": "def deep():\n    return 2\n"}
            checkout.put(patch)
            originals, diff = checkout.originals(patch), checkout.diff(patch)
        (with_submodules.parent / "x.patch").write_text(diff)
        git(with_submodules, "apply", "--check", str(with_submodules.parent / "x.patch"))
        apply(with_submodules, patch, originals)
        assert git(with_submodules / "lib/inner", "status", "--porcelain") == " M deep.py\n"

    def test_search_and_the_map_cover_them(self, with_submodules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(with_submodules, {f"many/m{number}.py": "pass\n" for number in range(201)})  # then git looks first
        found = list(search(with_submodules, Query("def (helper|deep)")))
        assert [hit.path for hit in found] == ["lib/helper.py", "lib/inner/deep.py"]
        assert {"lib/helper.py", "lib/inner/deep.py"} <= stamps(with_submodules).keys()
        assert files_of(with_submodules, "lib/inner") == ["lib/inner/deep.py"]
        assert [hit.path for hit in search(with_submodules, Query("deep", folder="lib"))] == ["lib/inner/deep.py"]

    def test_one_that_is_not_checked_out_is_an_empty_folder(self, with_submodules: Path) -> None:
        clone = with_submodules.parent / "clone"
        git(with_submodules.parent, "clone", "--quiet", str(with_submodules), str(clone))
        with Checkout(clone) as checkout:
            assert checkout.paths == {"calc.py", ".gitmodules"}

    def test_a_submodule_is_a_repository_of_its_own(self, with_submodules: Path) -> None:
        with Checkout(with_submodules / "lib") as checkout:
            assert {"helper.py", "inner/deep.py"} <= checkout.paths
            assert git(checkout.root, "log", "-1", "--format=%s") == "inner\n"
            assert git(checkout.root, "status", "--porcelain", "--ignore-submodules") == ""

    def test_a_repository_inside_that_is_no_submodule(self, folder: Path) -> None:
        root = repository(folder / "root", {"calc.py": CALC})
        repository(root / "inside", {"other.py": "OTHER = 1\n"})
        with Checkout(root) as checkout:
            assert checkout.paths == {"calc.py", "inside/other.py"}
        assert files_of(root) == ["calc.py", "inside/other.py"]


class TestIgnored:
    def test_what_a_program_may_need_is_there_and_in_no_patch(self, folder: Path) -> None:
        ignored = "*.so\n_version.py\n*_pb2.py\ndist/\n__pycache__/\n*.pyc\nbig/\n"
        root = repository(folder / "root", {"pkg/__init__.py": "", ".gitignore": ignored})
        made = {
            "pkg/_fast.so": "elf",
            "pkg/_version.py": "V = 1\n",
            "pkg/m_pb2.py": "M = 1\n",
            "dist/lib/index.js": "x\n",
        }
        write(root, {**made, "pkg/__pycache__/x.pyc": "x"})
        write(root, {f"big/{number}.txt": "x" for number in range(2100)})
        with Checkout(root) as checkout:
            assert checkout.paths == {"pkg/__init__.py", ".gitignore"}
            assert {path: (checkout.root / path).read_text() for path in made} == made
            assert not (checkout.root / "pkg/__pycache__").exists()
            assert checkout.borrowed == {"big": root / "big"}
            assert list((checkout.root / "big").iterdir()) == []
            (checkout.root / "dist/lib/index.js").write_text("changed")
            checkout.put({})
            assert (checkout.root / "dist/lib/index.js").read_text() == "x\n"

    @pytest.mark.parametrize("ignored", [True, False])
    def test_large_node_modules_are_borrowed_at_any_depth(self, folder: Path, ignored: bool) -> None:
        root = repository(folder / "root", {"package.json": "{}", "web/package.json": "{}"})
        if ignored:
            write(root, {".gitignore": "node_modules/\n"})
        for place in ("node_modules", "web/node_modules"):
            write(root, {f"{place}/p{number}/index.js": "x" for number in range(2100)})
        (root / "node_modules/own").symlink_to("../web")
        with Checkout(root) as checkout:
            assert checkout.paths == {"package.json", "web/package.json"} | ({".gitignore"} if ignored else set())
            assert checkout.borrowed == {place: root / place for place in ("node_modules", "web/node_modules")}
            checkout.link_borrowed()
            assert (checkout.root / "node_modules/p7/index.js").read_text() == "x"
            own = checkout.root / "node_modules/own"
            assert own.resolve() == checkout.root / "web"  # a package of the workspace: the copy's, not the user's
            (checkout.root / "node_modules/.cache").mkdir()
            checkout.put({})
            assert not (checkout.root / "node_modules/.cache").exists()
        assert (root / "node_modules/p7/index.js").read_text() == "x"

    def test_a_virtual_environment_is_borrowed_whatever_its_name(self, folder: Path) -> None:
        root = repository(folder / "root", {"a.py": "A = 1\n"})
        write(root, {"my env/pyvenv.cfg": "home = /usr/bin\n", "my env/lib/x.py": "X = 1\n"})
        with Checkout(root) as checkout:
            assert checkout.paths == {"a.py"}
            assert checkout.borrowed == {"my env": root / "my env"}
        assert files_of(root) == ["a.py"]

    def test_node_modules_that_are_a_link_to_another_place(self, folder: Path) -> None:
        write(folder / "store/node_modules", {"p/index.js": "x"})
        root = repository(folder / "root", {".gitignore": "node_modules\n", "package.json": "{}"})
        (root / "node_modules").symlink_to(folder / "store/node_modules")
        with Checkout(root) as checkout:
            assert checkout.borrowed == {"node_modules": folder / "store/node_modules"}

    def test_large_files_are_borrowed(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(copy_plan, "LARGE_FILE", 1000)
        root = repository(folder / "root", {"a.py": "A = 1\n"})
        write(root, {"data.bin": "x" * 2000})
        with Checkout(root) as checkout:
            assert checkout.borrowed == {"data.bin": root / "data.bin"}
            assert checkout.paths == {"a.py"}
            assert "data.bin: too large to be copied" in checkout.remarks()
            checkout.link_borrowed()
            assert (checkout.root / "data.bin").read_text() == "x" * 2000


class TestFolderOfARepository:
    @pytest.fixture
    def monorepo(self, folder: Path) -> Path:
        files = {"packages/a/calc.py": CALC, "packages/b/shared.py": "S = 1\n", "conftest.py": "", "package.json": "{}"}
        root = repository(folder / "mono", {**files, ".gitignore": "node_modules/\n"})
        write(root, {"node_modules/p/index.js": "x"})
        return root

    def test_the_copy_is_of_the_whole_tree_and_patches_of_the_folder(self, monorepo: Path) -> None:
        patch = {"calc.py": REPAIRED, "new.py": "N = 1\n"}
        with Checkout(monorepo / "packages/a") as checkout:
            assert checkout.paths == {"calc.py"}
            checkout.put(patch)
            assert (checkout.root / "calc.py").read_text() == REPAIRED
            assert (checkout.root / "../b/shared.py").read_text() == "S = 1\n"
            assert (checkout.tree / "conftest.py").is_file()
            assert (checkout.tree / "node_modules/p/index.js").is_file()
            diff, originals = checkout.diff(patch), checkout.originals(patch)
        (monorepo.parent / "x.patch").write_text(diff)
        git(monorepo / "packages/a", "apply", "--check", str(monorepo.parent / "x.patch"))
        apply(monorepo / "packages/a", patch, originals)
        assert (monorepo / "packages/a/calc.py").read_text() == REPAIRED
        assert (monorepo / "packages/a/new.py").is_file()

    def test_large_neighbours_are_borrowed(self, monorepo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(copy_plan, "_MOST_BESIDE", 10)
        monkeypatch.setattr(copy_plan, "_LARGE_NEIGHBOUR", 5)
        write(monorepo, {f"packages/big/{number}.py": "x" for number in range(20)})
        with Checkout(monorepo / "packages/a") as checkout:
            assert checkout.borrowed == {"packages/big": monorepo / "packages/big"}
            assert (checkout.tree / "packages/b/shared.py").is_file()

    def test_a_folder_that_an_outer_repository_ignores_stands_alone(self, folder: Path) -> None:
        outer = repository(folder / "home", {".gitignore": "*\n"})
        root = write(outer / "project", {"a.py": "A = 1\n"})
        write(outer, {"private.txt": "x"})
        with Checkout(root) as checkout:
            assert checkout.paths == {"a.py"}
            assert sorted(path.name for path in checkout.tree.iterdir()) == ["a.py"]
        assert files_of(root) == ["a.py"]

    def test_a_home_directory_under_git_is_not_copied(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        home = repository(folder / "home", {"private.txt": "x", "project/a.py": "A = 1\n"})
        monkeypatch.setenv("HOME", str(home))
        with Checkout(home / "project") as checkout:
            assert sorted(path.name for path in checkout.tree.iterdir()) == ["a.py"]


class TestKindsOfRepositories:
    def test_a_linked_working_tree(self, folder: Path) -> None:
        main = repository(folder / "main", {"calc.py": CALC})
        git(main, "worktree", "add", "--quiet", "-b", "side", str(folder / "side"))
        write(folder / "side", {"calc.py": REPAIRED})
        with Checkout(folder / "side") as checkout:
            assert checkout.text("calc.py") == REPAIRED
            assert git(checkout.root, "rev-parse", "--abbrev-ref", "HEAD") == "side\n"
            assert git(checkout.root, "status", "--porcelain") == " M calc.py\n"
            assert checkout.borrowed_objects == (main / ".git/objects",)
        assert git(main, "worktree", "list").count("\n") == 2

    def test_a_shallow_clone_keeps_what_history_it_has(self, folder: Path) -> None:
        origin = repository(folder / "origin", {"calc.py": CALC})
        git(origin, "commit", "--quiet", "--allow-empty", "-m", "second")
        git(folder, "clone", "--quiet", "--depth", "1", f"file://{origin}", "shallow")
        with Checkout(folder / "shallow") as checkout:
            assert git(checkout.root, "log", "--format=%s") == "second\n"
            assert git(checkout.root, "status", "--porcelain") == ""

    def test_a_partial_clone_is_never_completed(self, folder: Path) -> None:
        origin = repository(folder / "origin", {"calc.py": CALC, "old.py": "x\n"})
        git(origin, "config", "uploadpack.allowFilter", "true")
        (origin / "old.py").unlink()
        git(origin, "commit", "--quiet", "-am", "second")
        git(folder, "clone", "--quiet", "--filter=blob:none", f"file://{origin}", "partial")
        packs = sorted((folder / "partial/.git/objects").rglob("*"))
        with Checkout(folder / "partial") as checkout:
            assert checkout.paths == {"calc.py"}
            checkout.put({"calc.py": REPAIRED})
        assert files_of(folder / "partial") == ["calc.py"]
        assert sorted((folder / "partial/.git/objects").rglob("*")) == packs

    def test_a_sparse_checkout_holds_what_is_there(self, folder: Path) -> None:
        root = repository(folder / "root", {"in/a.py": "A = 1\n", "out/b.py": "B = 1\n"})
        git(root, "sparse-checkout", "set", "in")
        with Checkout(root) as checkout:
            assert checkout.paths == {"in/a.py"}
            assert git(checkout.root, "status", "--porcelain") == ""
        assert files_of(root) == ["in/a.py"]

    def test_a_clone_that_borrows_objects_from_one_that_does(self, folder: Path) -> None:
        first = repository(folder / "first", {"calc.py": CALC})
        git(folder, "clone", "--quiet", "--shared", str(first), "second")
        git(folder, "clone", "--quiet", "--shared", str(folder / "second"), "third")
        with Checkout(folder / "third") as checkout:
            expected = {folder / name / ".git/objects" for name in ("first", "second", "third")}
            assert set(checkout.borrowed_objects) == expected
            assert git(checkout.root, "log", "--format=%s") == "first\n"

    @pytest.mark.parametrize("committed", [True, False])
    def test_an_empty_repository_and_one_without_a_commit(self, folder: Path, committed: bool) -> None:
        root = folder / "root"
        root.mkdir()
        git(root, "init", "--quiet")
        if committed:
            git(root, "commit", "--quiet", "--allow-empty", "-m", "nothing")
        else:
            write(root, {"a.py": "A = 1\n"})
        with Checkout(root) as checkout:
            assert checkout.paths == (set() if committed else {"a.py"})

    def test_a_bare_repository_is_refused_with_what_to_do(self, folder: Path) -> None:
        git(folder, "init", "--quiet", "--bare", "bare")
        with pytest.raises(WorkspaceError, match=r"bare repository.*git clone"):
            Checkout(folder / "bare")

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
    def test_a_repository_of_another_user_is_refused_with_what_to_do(self, folder: Path) -> None:
        root = repository(folder / "root", {"a.py": "A = 1\n"})
        for path in (root, *root.rglob("*")):
            os.chown(path, 12345, 12345)
        with pytest.raises(WorkspaceError, match=r"another user.*safe\.directory"):
            Checkout(root)

    def test_without_git_a_repository_is_a_folder(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = repository(folder / "root", {"calc.py": CALC, "pkg/b.py": "B = 1\n"})
        write(root, {"node_modules/p/index.js": "x", "__pycache__/x.pyc": "x"})
        (root / "empty").mkdir()
        (folder / "bin").mkdir()
        monkeypatch.setenv("PATH", str(folder / "bin"))
        assert toplevel(root) is None
        with Checkout(root) as checkout:
            assert checkout.paths == {"calc.py", "pkg/b.py"}
            assert (checkout.root / "node_modules/p/index.js").is_file()
            checkout.put({"calc.py": REPAIRED})
            (checkout.root / "pkg/b.py").write_text("B = 2\n")
            checkout.put({})
            assert (checkout.root / "pkg/b.py").read_text() == "B = 1\n"
            assert (checkout.root / "calc.py").read_text() == CALC
        assert [hit.path for hit in search(root, Query("total"))] == ["calc.py"]


class TestNames:
    NAMES = (
        b"m\xfcll.py",
        b"a\nb.py",
        b'quo"te.py',
        b"-rf.py",
        b"back\\slash.py",
        b"CASE.py",
        b"case.py",
        b" space .py",
    )

    def test_names_in_any_bytes_are_copied_edited_and_found(self, folder: Path) -> None:
        root = folder / "root"
        root.mkdir()
        git(root, "init", "--quiet")
        for name in self.NAMES:
            (root / os.fsdecode(name)).write_text("X = 1\n")
        git(root, "add", "--all")
        names = {os.fsdecode(name) for name in self.NAMES}
        with Checkout(root) as checkout:
            assert checkout.paths == names
            patch = dict.fromkeys(names, "X = 2\n")
            checkout.put(patch)
            assert {(checkout.root / name).read_text() for name in names} == {"X = 2\n"}
            originals = checkout.originals(patch)
        assert set(files_of(root)) == names
        assert {hit.path for hit in search(root, Query("X = 1"))} == names
        apply(root, patch, originals)
        assert {(root / name).read_text() for name in names} == {"X = 2\n"}
        assert resolve(root, "m\\xfcll.py").path == os.fsdecode(b"m\xfcll.py")  # as it is shown

    def test_a_diff_names_them_as_git_reads_them(self, folder: Path) -> None:
        names = ["a b.py", os.fsdecode(b"m\xfcll.py"), 'quo"te.py', "a\nb.py", "back\\slash.py", "tab\t.py"]
        root = repository(folder / "root", dict.fromkeys(names, "X = 1\n"))
        with Checkout(root) as checkout:
            diff = checkout.diff({**dict.fromkeys(names, "X = 2\n"), "new file.py": "N = 1\n"})
        (folder / "x.patch").write_bytes(diff.encode())
        git(root, "apply", str(folder / "x.patch"))
        assert {(root / name).read_text() for name in names} == {"X = 2\n"}
        assert (root / "new file.py").read_text() == "N = 1\n"


class TestKindsOfFiles:
    def test_links_are_kept_wherever_they_lead(self, folder: Path) -> None:
        write(folder / "outside", {"secret.py": "S = 1\n"})
        root = repository(folder / "root", {"pkg/a.py": "A = 1\n"})
        targets = {"inside.py": "pkg/a.py", "folder": "pkg", "out": str(folder / "outside"), "nowhere": "no/such/file"}
        for name, target in targets.items():
            (root / name).symlink_to(target)
        with Checkout(root) as checkout:
            assert {name: os.readlink(checkout.root / name) for name in targets} == targets
            (checkout.root / "folder").unlink()
            (checkout.root / "folder").mkdir()
            (checkout.root / "folder/x").write_text("x")
            checkout.put({})
            assert {name: os.readlink(checkout.root / name) for name in targets} == targets
            with pytest.raises(WorkspaceError, match="symbolic link"):
                checkout.text("inside.py")
        assert "out/secret.py" not in files_of(root)

    @pytest.mark.parametrize("under_git", [True, False])
    def test_pipes_and_sockets_are_left_out(self, folder: Path, under_git: bool) -> None:
        files = {"a.py": "A = 1\n", ".gitignore": "made/\n"}
        root = repository(folder / "root", files) if under_git else write(folder / "root", files)
        (root / "made").mkdir()
        os.mkfifo(root / "pipe")
        os.mkfifo(root / "made/pipe")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(root / "s"))
            with Checkout(root) as checkout:
                assert checkout.paths == {"a.py", ".gitignore"}
                assert not (checkout.root / "made/pipe").exists()

    def test_git_lfs_pointers_are_known_as_such(self, folder: Path) -> None:
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
        root = repository(folder / "root", {"data/big.bin": pointer, "a.py": "A = 1\n"})
        with Checkout(root) as checkout:
            assert checkout.lfs_pointers == ("data/big.bin",)
            assert checkout.remarks().startswith("data/big.bin: only a Git LFS pointer is here; git lfs pull")

    @pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
    def test_what_cannot_be_read_is_named(self, folder: Path) -> None:
        root = repository(folder / "root", {"a.py": "A = 1\n"})
        write(root, {"locked.txt": "x"}).joinpath("locked.txt").chmod(0)
        with Checkout(root) as checkout:
            assert checkout.left_out == ("locked.txt",)

    def test_empty_folders_are_there(self, folder: Path) -> None:
        root = repository(folder / "root", {"a.py": "A = 1\n"})
        (root / "logs/today").mkdir(parents=True)
        with Checkout(root) as checkout:
            assert (checkout.root / "logs/today").is_dir()
            (checkout.root / "logs/today").rmdir()
            checkout.put({})
            assert (checkout.root / "logs/today").is_dir()


def test_a_listing_says_what_is_tracked(folder: Path) -> None:
    root = repository(folder / "root", {"a.py": "A = 1\n", "gone.py": "x\n"})
    (root / "gone.py").unlink()
    write(root, {"new.py": "N = 1\n"})
    found = listing.listing(root)
    assert (found.tracked, found.untracked) == (("a.py",), ("new.py",))
