"""Help, versions, wrong usage, errors: what every command does alike."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import Inhouse

from inhouse.cli.main import COMMANDS


def test_help_names_every_command_with_examples(inhouse: Inhouse) -> None:
    done = inhouse("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for name, summary in COMMANDS.items():
        assert any(line.split() == [name, *summary.split()] for line in done.stdout.splitlines())
    assert "examples:" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_examples(inhouse: Inhouse, name: str) -> None:
    done = inhouse(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: inhouse {name} ")
    assert f"  inhouse {name}" in done.stdout.partition("examples:")[2]
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_help_comes_at_once(environment: dict[str, str]) -> None:
    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "inhouse", "--help"], env=environment, check=True, capture_output=True)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(5)) < 0.2


def test_help_loads_next_to_nothing(environment: dict[str, str]) -> None:
    shown = "print(*sys.modules, sep='\\n', file=sys.stderr)"

    def loaded(code: str) -> set[str]:
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        return set(done.stderr.split())

    help_shown = f"import sys\nfrom inhouse.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: {shown}"
    more = loaded(help_shown) - loaded(f"import sys\n{shown}")
    assert {name.partition(".")[0] for name in more} - sys.stdlib_module_names == {"inhouse"}
    assert sum(name.startswith("inhouse.") for name in more) < 10
    assert len(more) < 100


def test_version(inhouse: Inhouse) -> None:
    assert inhouse("--version").stdout.startswith("inhouse 0.")


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("nonsense",),
        ("generate",),
        ("generate", "model", "prompt", "more"),
        ("inspect", "model", "--context", "0"),
        ("inspect", "model", "--kv", "q4_0"),
        ("inspect", "model", "--nonsense"),
        ("synth", "--like", "gpt-9", "-o", "x"),
        ("bench", "model", "--prompts", "128,many"),
        ("bench", "model", "--vs", "nothing"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_how(inhouse: Inhouse, args: tuple[str, ...]) -> None:
    done = inhouse(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("usage: inhouse")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("inspect", "nothing"), "no file and no model named 'nothing'"),
        (("chat", "starter"), "starter is not on this machine yet: run `inhouse pull starter`"),
        (("generate", "nothing", "Hi"), "no file and no model named 'nothing'"),
        (("generate", "nothing", "Hi", "--temperature", "-1"), "temperature = -1.0"),
        (("generate", "nothing", "Hi", "--system", "Be kind"), "--system needs --chat"),
        (("bench", "nothing"), "no file and no model named 'nothing'"),
        (("eval", "humaneval", "nothing"), "no file and no model named 'nothing'"),
        (("remove", "nothing"), "no model 'nothing'"),
        (("pull", "nothing"), "the catalogue has no model or data set 'nothing'"),
        (("synth", "--like", "tiny-qwen3", "--mix", "Q9", "-o", "x.gguf"), "no mix 'Q9'"),
    ],
)
def test_errors_are_one_line_and_exit_with_1(inhouse: Inhouse, args: tuple[str, ...], says: str) -> None:
    done = inhouse(*args)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("inhouse: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_file_is_one_line(inhouse: Inhouse, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF\x03\x00")
    for command in (("inspect",), ("generate", "--max-tokens", "1"), ("bench",), ("chat",)):
        done = inhouse(*command, tmp_path / "bad.gguf")
        assert done.returncode == 1
        assert done.stderr.startswith(f"inhouse: {tmp_path}/bad.gguf: ")
        assert done.stderr.count("\n") == 1


def test_a_folder_that_is_not_there_is_one_line(inhouse: Inhouse, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = inhouse("synth", "--like", "tiny-qwen3", "-o", tmp_path / "file" / "x.gguf")
    assert done.returncode == 1
    assert done.stderr.startswith("inhouse: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(environment: dict[str, str], tiny: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "inhouse", "inspect", str(tiny)]
    done = subprocess.run(command, env=environment, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 141
    assert done.stderr == ""


def test_ctrl_c_ends_a_measurement_with_all_its_processes(environment: dict[str, str], tiny: Path) -> None:
    command = [sys.executable, "-m", "inhouse", "bench", str(tiny), "--repeats", "100000", "--prompts", "1024"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    process.stderr.readline()  # the first line of progress: the engine's process is there
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in errors
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a process of the measurement lives on")
