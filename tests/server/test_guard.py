"""Who may call a server, from where, how often and with how much: as plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx2
import openai
import pytest
from live import Claude, Client, Serve, serving
from parrot import parrot

from inhouse.server.keys import KeyFile, KeyRing
from inhouse.server.settings import Limits

BODY = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")


@pytest.fixture(scope="module")
def guarded(keys: KeyFile) -> Iterator[str]:
    """A server that asks for keys."""
    with parrot("Good", " day") as llm, serving(llm, KeyRing(keys), require_key=True) as url:
        yield url


def test_a_key_opens_both_apis(guarded: str, keys: KeyFile, client: Client, claude: Claude) -> None:
    secret = keys.add("both")
    answer = client(guarded, api_key=secret).chat.completions.create(**BODY)
    assert answer.choices[0].message.content == "Good day"
    said = claude(guarded, api_key=secret).messages.create(**BODY, max_tokens=9)
    assert said.stop_reason == "end_turn"


def test_without_a_key_there_is_only_health(guarded: str, client: Client, claude: Claude) -> None:
    assert httpx2.get(f"{guarded}/health").status_code == 200
    assert httpx2.get(f"{guarded}/docs").status_code == 200
    for path in ("/v1/models", "/metrics", "/stats", "/nowhere"):
        assert httpx2.get(f"{guarded}{path}").status_code == 401
    with pytest.raises(openai.AuthenticationError, match="inhouse key add"):
        client(guarded).chat.completions.create(**BODY)
    with pytest.raises(anthropic.AuthenticationError):
        claude(guarded).messages.create(**BODY, max_tokens=9)


def test_a_revoked_key_is_no_key(guarded: str, keys: KeyFile, client: Client) -> None:
    caller = client(guarded, api_key=keys.add("short"))
    assert caller.models.list().data
    keys.revoke("short")
    with pytest.raises(openai.AuthenticationError):
        caller.models.list()


def test_a_key_has_its_limits(guarded: str, keys: KeyFile, client: Client) -> None:
    caller = client(guarded, api_key=keys.add("slow", per_minute=2))
    caller.models.list()
    caller.models.list()
    with pytest.raises(openai.RateLimitError) as caught:
        caller.models.list()
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60


def test_responses_belong_to_a_key(guarded: str, keys: KeyFile, client: Client) -> None:
    mine, other = (client(guarded, api_key=keys.add(name)) for name in ("mine", "other"))
    kept = mine.responses.create(model="tiny", input="Hello")
    assert mine.responses.retrieve(kept.id).id == kept.id
    with pytest.raises(openai.NotFoundError):
        other.responses.retrieve(kept.id)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost@evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Host": "localhost", "Origin": "https://localhost"}, 403),
    ],
)
def test_other_names_and_pages_may_not_call(says: Serve, headers: dict[str, str], status: int) -> None:
    answer = httpx2.get(f"{says('Good', ' day')}/v1/models", headers=headers)
    assert answer.status_code == status
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_an_allowed_page_may_call(says: Serve) -> None:
    page = "http://page.example"
    url = says("Good", " day", allowed_origins=(page,), allowed_hosts=("box.lan",))
    asked = {"Origin": page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    assert httpx2.options(f"{url}/v1/chat/completions", headers=asked).headers["access-control-allow-origin"] == page
    answer = httpx2.post(f"{url}/v1/chat/completions", json=BODY, headers={"Origin": page, "Host": "box.lan:80"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == page
    assert httpx2.get(f"{url}/v1/models", headers={"Origin": "http://other.example"}).status_code == 403


def test_bodies_have_a_largest_size(says: Serve) -> None:
    url = says("Good", " day", limits=Limits(body_bytes=10_000))
    big = httpx2.post(f"{url}/v1/chat/completions", json={**BODY, "user": "x" * 20_000})
    assert big.status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    assert httpx2.post(f"{url}/v1/messages", content=endless()).json()["error"]["type"] == "request_too_large"
    assert httpx2.post(f"{url}/v1/chat/completions", json=BODY).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b'{"messages": [{"role": "user", "content": "\\ud800"}], "stop": 5}',
        b'{"messages": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"a": ' * 5000 + b"1" + b"}" * 5000,
        b'{"seed": ' + b"9" * 5000 + b', "messages": []}',
        b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
        b'{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
        b'{"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"messages": []}}',
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/completions", "/v1/responses"])
def test_malformed_bodies_are_refused(says: Serve, path: str, body: bytes) -> None:
    answer = httpx2.post(f"{says('Good', ' day')}{path}", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_what_is_no_json_is_refused(says: Serve) -> None:
    url = f"{says('Good', ' day')}/v1/chat/completions"
    answer = httpx2.post(url, content=json.dumps(BODY), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 400
    assert "application/json" in answer.json()["error"]["message"]
    assert httpx2.get(url).status_code == 405


def test_the_file_of_keys_is_for_its_owner_and_holds_no_key(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "deep" / "keys.json")
    secret = file.add("me")
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert secret not in file.path.read_text()
    assert KeyRing(file).find(secret) is not None
    assert KeyRing(file).find(secret + "x") is None
