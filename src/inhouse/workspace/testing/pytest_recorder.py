"""A pytest plugin, run *inside* the tests of the user's project: pytest's hooks for `outcome_recorder`.

Its text is copied beside that of `outcome_recorder` and loaded with `-p`. It works with pytest 4 and newer on any
Python 3.8 or newer, with pytest-xdist, and with any command line, since it is asked for by PYTEST_ADDOPTS.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import inhouse_outcome_recorder as outcome_recorder  # type: ignore[import-not-found, unused-ignore]
import pytest

_NAME = "inhouse_pytest_recorder"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: Any) -> None:
    """One failure, or one module that cannot be imported, must not hide the rest."""
    if outcome_recorder.records():
        config.option.continue_on_collection_errors = True
        config.option.maxfail = 0


def pytest_configure(config: Any) -> None:
    worker = hasattr(config, "workerinput")
    recorder = outcome_recorder.opened(quiet=worker)
    options = os.environ.get("PYTEST_ADDOPTS", "")
    os.environ["PYTEST_ADDOPTS"] = options.replace("-p " + _NAME, "").strip()  # not for what the tests start
    if recorder is None:
        return
    config.pluginmanager.register(_Plugin(config, recorder), _NAME + "_hooks")


class _Plugin:
    def __init__(self, config: Any, recorder: Any) -> None:
        self._config, self._recorder = config, recorder
        self._seconds: dict[str, float] = {}
        self._session: Any = None
        if recorder.known is not None:
            config.option.tbstyle = "no"
        recorder.write("begin", runner="pytest", rootdir=str(config.rootdir))

    def pytest_sessionstart(self, session: Any) -> None:
        self._session = session
        self._recorder.faults()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session: Any, config: Any, items: list[Any]) -> None:
        recorder = self._recorder
        wanted = [item for item in items if recorder.wanted(item.nodeid)]
        left = [item for item in items if not recorder.wanted(item.nodeid)]
        if left:
            config.hook.pytest_deselected(items=left)
        if recorder.first:
            wanted.sort(key=lambda item: recorder.first.get(item.nodeid, len(recorder.first)))
        items[:] = wanted
        recorder.write("collected", count=len(items))

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_make_collect_report(self, collector: Any) -> Iterator[None]:
        with self._recorder.limited(collector.nodeid):
            outcome: Any = yield
        report = outcome.get_result()
        if report.outcome == "failed":
            call = getattr(report, "call", None)
            error = call.excinfo.value if call is not None and call.excinfo else None
            if error is not None and type(error).__name__ == "CollectError":
                error = error.__cause__ or error.__context__ or error
            if error is not None:
                # Plain values: pytest-xdist hands them on from its workers.
                report.inhouse_failure = self._recorder.failure(error, "collect")

    def pytest_collectreport(self, report: Any) -> None:
        if report.outcome == "failed":
            said = getattr(report, "inhouse_failure", None) or _said(report, "collect")
            self._recorder.write("result", id=report.nodeid, outcome="failed", failure=said)

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: Any) -> Iterator[None]:
        with self._recorder.limited(item.nodeid, _own_limit(item)):
            yield

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_runtest_call(self, item: Any) -> Iterator[None]:
        with self._recorder.limited(item.nodeid, _own_limit(item)):
            yield

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: Any) -> Iterator[None]:
        with self._recorder.limited(item.nodeid, _own_limit(item)):
            yield

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Iterator[None]:
        outcome: Any = yield
        report = outcome.get_result()
        if report.outcome == "failed" and call.excinfo is not None:
            report.inhouse_failure = self._recorder.failure(call.excinfo.value, report.when)

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._seconds[nodeid] = 0.0
        self._recorder.write("start", id=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + getattr(report, "duration", 0.0)
        if report.outcome == "failed":
            said = getattr(report, "inhouse_failure", None) or _said(report, report.when)
            self._recorder.write("result", id=report.nodeid, outcome="failed", failure=said)
            if self._recorder.enough(report.nodeid):
                self._session.shouldstop = "other tests fail than before"
        elif report.outcome == "skipped" or report.when == "call":
            self._recorder.write("result", id=report.nodeid, outcome=report.outcome)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        self._recorder.write("end", id=nodeid, seconds=round(self._seconds.pop(nodeid, 0.0), 4))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: Any, exitstatus: Any) -> None:
        self._recorder.write("finish", exit=int(exitstatus))


def _own_limit(item: Any) -> Any:
    """The seconds of a `timeout` mark of the test's own (pytest-timeout); None without."""
    mark = item.get_closest_marker("timeout") if hasattr(item, "get_closest_marker") else None
    seconds = mark.args[0] if mark is not None and mark.args else None
    return float(seconds) if isinstance(seconds, (int, float)) and seconds > 0 else None


def _said(report: Any, phase: str) -> dict[str, Any]:
    """What a report without an exception says, such as that of a test which passed but should not."""
    text = str(report.longrepr or "")
    said = [line[1:].strip() for line in text.splitlines() if line.startswith("E  ")]
    text = ("\n".join(said) or text)[: outcome_recorder.MAX_TEXT]
    return {"exception": "", "module": "", "message": text, "places": [], "phase": phase}
