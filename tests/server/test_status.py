"""What a server says about itself."""

from __future__ import annotations

import httpx2
from live import Client, Serve
from prometheus_client.parser import text_string_to_metric_families


def figures(url: str) -> dict[str, float]:
    """All samples by name and labels."""
    text = httpx2.get(f"{url}/metrics").text
    families = text_string_to_metric_families(text)
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_counts_requests_and_tokens(says: Serve, client: Client) -> None:
    url = says("One", " two", " three", keepalive_seconds=4.0)  # a server of its own
    before = figures(url)
    client(url).completions.create(model="x", prompt="12345")
    client(url).completions.create(model="x", prompt="12345", max_tokens=2)
    httpx2.post(f"{url}/v1/completions", json={})
    after = figures(url)

    def gained(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert gained("inhouse_requests_total /v1/completions 200") == 2
    assert gained("inhouse_requests_total /v1/completions 400") == 1
    assert gained("inhouse_prompt_tokens_total") == 10
    assert gained("inhouse_completion_tokens_total") == 5
    assert gained("inhouse_answers_total stop") == 1
    assert gained("inhouse_answers_total length") == 1
    assert gained("inhouse_first_token_seconds_count") == 2
    assert after["inhouse_requests_active"] == 1  # the one that asks


def test_unknown_paths_are_one_figure(says: Serve) -> None:
    url = says("One", " two")
    for path in ("/a", "/b", "/v1/" + "x" * 500):
        assert httpx2.get(url + path).status_code == 404
    assert figures(url)["inhouse_requests_total other 404"] == 3


def test_the_documentation_is_one_page_that_loads_nothing(says: Serve) -> None:
    url = says("One", " two")
    page = httpx2.get(f"{url}/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for text in ("/v1/chat/completions", "/v1/messages/count_tokens", "presence_penalty", "previous_response_id"):
        assert text in page.text
    assert "<script" not in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text


def test_says_what_it_serves(says: Serve) -> None:
    url = says("One", " two")
    assert httpx2.get(f"{url}/health").json() == {"status": "ok"}
    httpx2.post(f"{url}/v1/completions", json={"prompt": "12345"}).raise_for_status()
    stats = httpx2.get(f"{url}/stats").json()
    engine = stats["engine"]
    assert (engine["prefill_tokens"], engine["decode_tokens"]) == (5, 2)  # the end's logits need one pass more
    assert (engine["cache"]["prompt_tokens"], engine["cache"]["cached_tokens"]) == (5, 0)
    assert all(
        engine[f"{what}_{whose}"] == 0 for what in ("active", "waiting") for whose in ("interactive", "background")
    )
    assert set(stats) == {"model", "uptime_seconds", "memory", "engine"}  # nothing is counted twice
    assert stats["model"]["id"] == "tiny"
    assert stats["model"]["context_length"] == 1024
    assert stats["memory"]["process_bytes"] > 0
