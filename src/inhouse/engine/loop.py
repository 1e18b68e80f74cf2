"""The engine's thread: takes requests from any other thread and lets the scheduler compute as long as there is work.

Knows neither models nor text. All that touches requests happens on this one thread; others leave orders.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from inhouse.engine.cache import PrefixCache
from inhouse.engine.runner import ModelRunner
from inhouse.engine.scheduler import Limits, Scheduler
from inhouse.errors import InhouseError

_LOG = logging.getLogger("inhouse.engine")

T = TypeVar("T")


class Loop:
    """Runs until it is told to stop and has nothing left to do."""

    def __init__(self, runner: ModelRunner, cache: PrefixCache, limits: Limits) -> None:
        self.runner = runner
        self.scheduler = Scheduler(runner, cache, limits, lambda: not self._orders.empty())
        self._orders: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="inhouse-engine", daemon=True)
        self._thread.start()

    def order(self, what: Callable[[], object]) -> None:
        """Has something done on the engine's thread, between two quanta."""
        self._orders.put(what)

    def call(self, what: Callable[[], T]) -> T:
        """Has something done on the engine's thread, and returns or raises what comes of it."""
        future: Future[T] = Future()

        def do() -> None:
            try:
                future.set_result(what())
            except BaseException as error:
                future.set_exception(error)

        self.order(do)
        while True:
            with contextlib.suppress(TimeoutError):
                return future.result(1.0)
            if not self._thread.is_alive() and not future.done():
                raise InhouseError("the engine has ended: open the model again")

    def stop(self) -> None:
        """Lets the thread end as soon as all requests have."""
        self.order(self._stop)

    def abandon(self) -> None:
        """Ends all requests, and then the thread."""
        self.order(self.cancel_all)
        self.stop()
        self.wait(10.0)

    def cancel_all(self) -> None:
        """Ends all requests. For the engine's thread."""
        for generation in list(self.scheduler):
            self.scheduler.cancel(generation)

    def idle(self) -> bool:
        """Whether no request is there. For the engine's thread."""
        return not any(True for _ in self.scheduler)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether the thread has ended, after at most so long."""
        if threading.current_thread() is not self._thread:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _stop(self) -> None:
        self._stopping = True

    def _work(self) -> None:
        more = False
        while not (self._stopping and self.idle()):
            try:
                while True:
                    self._obey(self._orders.get(block=not more))
                    more = True
            except queue.Empty:
                pass
            try:
                more = self.scheduler.step()
            except Exception as error:  # of our own making: better to fail what there is than to stop for ever
                _LOG.exception("the engine failed")
                self.scheduler.fail(error)
        self.scheduler.cache.close()

    def _obey(self, order: Callable[[], object]) -> None:
        try:
            order()
        except Exception:
            _LOG.exception("an order to the engine failed")
