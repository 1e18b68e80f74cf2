"""The socket: HTTP over uvicorn, with limits on how slow and how large a client may be. Knows no API.

uvicorn has no time limit on a request's headers nor on a reader that does not read; both are added here.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from inhouse.errors import InhouseError
from inhouse.server.settings import Limits, Settings


class _Patience:
    """A timer that ends a connection."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, transport.abort)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _protocol(limits: Limits) -> type[H11Protocol]:
    class Impatient(H11Protocol):
        """Ends connections whose headers do not come, whose answers nobody reads, and those beyond the limit."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._headers = _Patience(limits.header_seconds)
            self._reader = _Patience(limits.write_seconds)
            if len(self.connections) > limits.connections:
                transport.abort()
                return
            self._headers.begin(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            self._headers.end()
            self._reader.end()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._answering():
                self._headers.end()
            else:
                self._headers.begin(self.transport)

        def _answering(self) -> bool:
            cycle: RequestResponseCycle | None = self.cycle  # uvicorn's type says that there is always one
            return cycle is not None and not cycle.response_complete

        def pause_writing(self) -> None:
            self._reader.begin(self.transport)
            super().pause_writing()

        def resume_writing(self) -> None:
            self._reader.end()
            super().resume_writing()

    return Impatient


class Server(uvicorn.Server):
    """A server that ends with SIGTERM or Ctrl-C after the answers under way; a second signal does not wait."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[str], None]) -> None:
        """`announce` gets every URL that is listened at, as soon as it is."""
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                self._announce(f"{'https' if self.config.is_ssl else 'http'}://{shown}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # there signals are for somebody else
            yield
            return
        handlers = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def configure(
    app: ASGIApp,
    settings: Settings,
    port: int,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
) -> uvicorn.Config:
    """How to listen. Raises InhouseError for a certificate that cannot be used."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=port,
        http=_protocol(settings.limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=settings.limits.header_bytes,
        timeout_graceful_shutdown=settings.drain_seconds,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    try:
        config.load()
    except OSError as error:
        raise InhouseError(f"{certificate}, {key}: not a certificate and its key ({error})") from error
    return config
