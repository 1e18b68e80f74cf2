"""Whatever goes wrong is told in one line: no traceback, no request, and the streams may be as they like."""

from __future__ import annotations

import json
import os
import resource
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import Inhouse
from confined import needs_sandbox

from needed import git_program
from scripted_server import Server

SECRET = "a-word-of-the-request-alone"
NAME = os.fsdecode(b"n\xe9me")  # no UTF-8


def one_line(done: subprocess.CompletedProcess[str], *says: str, code: int = 1) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("inhouse: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for words in ("Traceback", "not foreseen", SECRET):
        assert words not in done.stderr
    for words in says:
        assert words in done.stderr


@contextmanager
def answering(said: bytes) -> Iterator[str]:
    """The address of a server that reads a request, sends these bytes and closes the connection."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(10)
            data = self.request.recv(65536)
            length = int(
                next((line[15:] for line in data.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
            )
            while len(data.partition(b"\r\n\r\n")[2]) < length:
                data += self.request.recv(65536)
            self.request.sendall(said)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def reply(body: bytes, kind: bytes = b"application/json", status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (
        status, kind, len(body), body,
    )  # fmt: skip


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    (root / "app.py").write_text("x = 1\n")
    subprocess.run([git_program(), "init", "-q"], cwd=root, check=True)
    return root


@pytest.mark.parametrize("command", ["agent", "fix"])
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:99999/v1", "out of range"),
        ("http://127.0.0.1:port/v1", "port"),
        ("http://127.0.0.1:0/v1", "a port from 1"),
        ("127.0.0.1:8000/v1", "needs http://"),
        ("ftp://127.0.0.1/v1", "needs http://"),
        ("http://", "a host"),
        ("http://[::1/v1", "IPv6"),
    ],
)
def test_an_address_that_is_none(inhouse: Inhouse, repo: Path, command: str, url: str, says: str) -> None:
    one_line(inhouse(command, "--repo", repo, "--url", url, SECRET), repr(url), says, "give one such as")


@needs_sandbox
@pytest.mark.parametrize(
    ("said", "says"),
    [
        (reply(b"<html><body>Welcome</body></html>", b"text/html"), "a web page"),
        (reply(b"<html>no</html>", b"text/html", b"404 Not Found"), "a web page"),
        (reply(b'data: {"choices": "none"}\n\n', b"text/event-stream"), "not a server of this kind"),
        (reply(b"data: \xff\xfe nonsense\n\n", b"text/event-stream"), "not a server of this kind"),
        (reply(b"[1, 2]"), "broke off"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "see that the server runs"),
        (b"", "see that the server runs"),
        (
            reply(json.dumps({"detail": [{"loc": ["body", "tools"], "msg": "not known", "input": SECRET}]}).encode(),
                  status=b"422 Unprocessable"),
            "body.tools: not known",
        ),
        (reply(json.dumps({"got": {"messages": SECRET}}).encode(), status=b"400 Bad Request"), "HTTP 400"),
    ],
)  # fmt: skip
def test_a_server_that_answers_something_else(inhouse: Inhouse, repo: Path, said: bytes, says: str) -> None:
    with answering(said) as url:
        one_line(inhouse("agent", "--repo", repo, "--url", url, SECRET), says, "127.0.0.1")


def limited(size: int) -> Callable[[], None]:
    """Files of the process may not grow beyond `size` bytes, as on a disk that is full."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return limit


class TestAFullDisk:
    def run(self, environment: dict[str, str], size: int, *args: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "inhouse", *map(str, args)], env=environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, preexec_fn=limited(size), timeout=120,
        )  # fmt: skip

    @needs_sandbox
    def test_while_a_session_is_begun(self, environment: dict[str, str], repo: Path) -> None:
        server = Server("Done.")
        done = self.run(environment, 100, "agent", "--repo", repo, "--url", server.url, "Hi.")
        server.close()
        one_line(done, f"{environment['INHOUSE_HOME']}/sessions/", "no session can be kept there", "INHOUSE_HOME")

    @needs_sandbox
    def test_in_the_middle_of_a_session_which_can_be_resumed(
        self, inhouse: Inhouse, environment: dict[str, str], repo: Path
    ) -> None:
        server = Server("x" * 200_000, "Here again.")
        done = self.run(environment, 100_000, "agent", "--repo", repo, "--url", server.url, "Hi.")
        assert done.returncode == 1
        assert "session.jsonl: cannot be written" in done.stderr
        assert "--resume" in done.stderr
        assert "Traceback" not in done.stderr
        again = inhouse("agent", "--repo", repo, "--url", server.url, "--resume", "last", "Go on.")
        server.close()
        assert again.returncode == 0, again.stderr
        assert "Here again." in again.stdout

    def test_of_standard_output(self, environment: dict[str, str]) -> None:
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "inhouse", "models"], env=environment, stdout=full, stderr=subprocess.PIPE,
                text=True,
            )  # fmt: skip
        one_line(done, "standard output", "No space left on device", "free some space")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(environment: dict[str, str], closed: str) -> None:
    for command in ("models", "sessions --json"):
        line = f'"{sys.executable}" -m inhouse {command} {closed}'
        done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0",
                                                                      "PYTHONCOERCECLOCALE": "0"}])  # fmt: skip
class TestAnEncodingWithoutLetters:
    @needs_sandbox
    def test_the_agent(self, inhouse: Inhouse, repo: Path, variables: dict[str, str]) -> None:
        server = Server("Grüße – ✓")
        done = inhouse("agent", "--repo", repo, "--url", server.url, "Grüße?", **variables)
        server.close()
        assert done.returncode == 0, done.stderr
        assert "Gr\\xfc\\xdfe \\u2013 \\u2713" in done.stdout
        assert (
            "Grüße?" in server.asked[0]["messages"][1]["content"] or "\\x" in server.asked[0]["messages"][1]["content"]
        )

    @needs_sandbox
    def test_its_json(self, inhouse: Inhouse, repo: Path, variables: dict[str, str]) -> None:
        server = Server("Grüße – ✓")
        done = inhouse("agent", "--json", "--repo", repo, "--url", server.url, "Hi.", **variables)
        server.close()
        assert json.loads(done.stdout.splitlines()[-1])["text"] == "Grüße – ✓"

    def test_a_name(self, inhouse: Inhouse, tmp_path: Path, variables: dict[str, str]) -> None:
        one_line(inhouse("inspect", tmp_path / "größe.gguf", **variables), "gr", "no file")


class TestNamesInAnyBytes:
    def test_of_a_model(self, inhouse: Inhouse, tmp_path: Path) -> None:
        one_line(inhouse("inspect", tmp_path / NAME), "no file and no model named", "n\\")

    def test_of_a_folder_that_is_not_there(self, inhouse: Inhouse, tmp_path: Path) -> None:
        one_line(inhouse("agent", "--repo", tmp_path / NAME, "Hi."), f"{tmp_path}/n\\xe9me: no such directory")

    def test_of_a_file_with_control_characters(self, inhouse: Inhouse, tmp_path: Path) -> None:
        one_line(inhouse("agent", "--repo", tmp_path / "a\x1b[2Jb", "Hi."), "a\\x1b[2Jb")

    @needs_sandbox
    def test_of_a_repository_and_in_a_prompt(self, inhouse: Inhouse, tmp_path: Path) -> None:
        root = tmp_path / NAME
        root.mkdir()
        (root / os.fsdecode(b"caf\xe9.py")).write_text("x = 1\n")
        subprocess.run([git_program(), "init", "-q"], cwd=root, check=True)
        server = Server(("bash", {"command": "ls"}), "Done.")
        done = inhouse("agent", "--json", "--repo", root, "--url", server.url, f"Look at {NAME}.")
        server.close()
        assert done.returncode == 0, done.stderr
        assert [json.loads(line) for line in done.stdout.splitlines()][-1]["status"] == "nothing_to_verify"
        asked = server.asked[-1]["messages"]
        assert "Look at n\\xe9me." in asked[1]["content"]
        json.dumps(asked, ensure_ascii=False).encode()  # what any server can read
        shown = inhouse("sessions", "show", "last")
        assert shown.returncode == 0, shown.stderr


class TestHomes:
    @pytest.mark.parametrize("home", ["/dev/null", "/nonexistent"])
    def test_that_is_none_is_enough_for_looking(self, inhouse: Inhouse, home: str) -> None:
        for command in ("models", "sessions"):
            done = inhouse(command, HOME=home, INHOUSE_HOME="")
            assert (done.returncode, done.stderr) == (0, "")

    @needs_sandbox
    @pytest.mark.parametrize("home", ["/dev/null", "/proc/nowhere"])
    def test_that_cannot_be_written(self, inhouse: Inhouse, repo: Path, home: str) -> None:
        server = Server("Done.")
        done = inhouse("agent", "--repo", repo, "--url", server.url, "Hi.", INHOUSE_HOME=home)
        server.close()
        one_line(done, f"{home}/sessions/", "no session can be kept there", "INHOUSE_HOME")

    @pytest.mark.parametrize("args", [("pull", "starter"), ("key", "add", "me")])
    def test_of_other_commands(self, inhouse: Inhouse, args: tuple[str, ...]) -> None:
        one_line(inhouse(*args, INHOUSE_HOME="/proc/nowhere"), "/proc/nowhere")


@pytest.mark.parametrize("command", [("inspect",), ("generate",), ("bench",), ("agent", "--model")])
def test_a_folder_without_a_model(inhouse: Inhouse, tmp_path: Path, command: tuple[str, ...]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    prompt = ("Hi.",) if command[0] in ("generate", "agent") else ()
    one_line(inhouse(*command, folder, *prompt), f"{folder}/config.json: no such file")


def test_an_output_that_is_no_file_stays(inhouse: Inhouse, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    one_line(inhouse("synth", "--like", "tiny-qwen3", "-o", pipe), f"{pipe}: not a regular file")
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    "command", [("generate", "{model}", "Hi", "--max-tokens", "100000"), ("chat", "{model}"), ("models",)]
)
def test_ctrl_c_at_any_moment(environment: dict[str, str], tiny: Path, command: tuple[str, ...]) -> None:
    """At imports of ours, early and late: as soon as the interpreter itself is ready, nothing is shown."""
    hook = (
        "import os, runpy, signal, sys\n"
        "at, seen = int(sys.argv.pop(1)), 0\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        global seen\n"
        "        seen += 'inhouse.cli' in sys.modules\n"
        "        if seen == at and 'inhouse.cli' in sys.modules:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "runpy.run_module('inhouse', run_name='__main__', alter_sys=True)\n"
    )
    args = [part.format(model=tiny) for part in command]
    for at in (1, 2, 5, 10, 20, 40, 80):
        done = subprocess.run(
            [sys.executable, "-c", hook, str(at), *args], env=environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip
        assert done.stderr.count("\n") <= 1, done.stderr
        assert done.returncode == 130, (at, done.stderr)


def test_what_nobody_foresaw(environment: dict[str, str]) -> None:
    code = (
        "import sys\nfrom inhouse.cli import main, models\n"
        "def broken(args): raise LookupError('odd\\nthing')\n"
        "models.run = broken\nsys.exit(main.main(['models']))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "LookupError: odd thing" in done.stderr
    assert "INHOUSE_DEBUG=1" in done.stderr
    shown = subprocess.run(command, env={**environment, "INHOUSE_DEBUG": "1"}, capture_output=True, text=True)
    assert "Traceback" in shown.stderr


@needs_sandbox
def test_a_small_model_is_announced_once(inhouse: Inhouse, repo: Path) -> None:
    server = Server("Hello.", "Hello.", "Hello.")
    named = ("agent", "--repo", repo, "--url", server.url, "--model", "qwen2.5-coder-1.5b-instruct")
    done = inhouse(*named, "Hi.")
    (note,) = [line for line in done.stderr.splitlines() if line.startswith("inhouse: ")]
    assert "qwen2.5-coder-1.5b-instruct (1.5 B parameters) is small for the tool loop" in note
    assert "inhouse fix" in note
    assert "is small" not in inhouse(*named, "--resume", "last", "Hi.").stderr
    lines = inhouse(*named, "--json", "Hi.").stdout.splitlines()
    server.close()
    assert [json.loads(line)["guard"] for line in lines if json.loads(line)["event"] == "warned"] == ["model"]
