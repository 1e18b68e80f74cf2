"""Whatever the description of the API allows, and much that it does not, is answered without a server's error."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from live import Serve
from schemathesis import APIOperation, Case, GenerationMode

EXAMPLES = 12  # of each operation, sound and unsound ones


@pytest.fixture
def same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis also draws constants of the project's modules that happen to be loaded: not here, so that the
    requests do not depend on which other tests ran before."""
    monkeypatch.setattr(providers, "_get_local_constants", Constants)
    monkeypatch.setattr(providers, "CONSTANTS_CACHE", LRUCache(1024))  # what earlier tests drew from


@pytest.mark.usefixtures("same_draws")
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_description_leads_to_an_error(says: Serve, caplog: pytest.LogCaptureFixture, mode: GenerationMode) -> None:
    url = says("Good", " day", "!!")
    caplog.set_level(logging.ERROR, "inhouse.server")
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    statuses: Counter[int] = Counter()
    for result in schema.get_all_operations():
        _try_out(result.ok(), mode, url, statuses)
    assert statuses[200] >= 2 * EXAMPLES or mode is GenerationMode.NEGATIVE
    assert statuses.total() >= 4 * EXAMPLES
    assert max(statuses) < 500
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def _try_out(operation: APIOperation, mode: GenerationMode, url: str, statuses: Counter[int]) -> None:
    """Calls an operation with drawn arguments and counts the answers by status."""

    @settings(
        max_examples=EXAMPLES, database=None, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Case) -> None:
        status = case.call(base_url=url).status_code
        statuses[status] += 1
        assert status < 500

    with contextlib.suppress(Unsatisfiable):  # an operation without parameters takes no wrong ones
        call()
