"""The socket: HTTP over uvicorn, with limits on how slow and how large a client may be. Knows no API.

uvicorn has no time limit on a request's headers nor on a reader that does not read; both are added here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from inhouse.errors import InhouseError, ParameterError
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
        """Ends connections whose headers do not come, whose answers nobody reads, and those beyond the limit.

        At the limit a new connection takes the place of one that asks nothing yet, of the client that has the most.
        """

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._headers = _Patience(limits.header_seconds)
            self._reader = _Patience(limits.write_seconds)
            self._made = time.monotonic()
            self._ended = False
            if len(self.connections) > limits.connections and not self._make_room():
                transport.abort()
                return
            self._headers.begin(transport)

        def _make_room(self) -> bool:
            """Ends a connection that no request has come whole from; whether there is one."""
            others = [one for one in self.connections if isinstance(one, Impatient) and one is not self]
            if sum(not one._ended for one in others) < limits.connections:
                return True
            held = Counter(one._peer() for one in others)
            waiting = [one for one in others if not one._ended and one._waiting()]
            if not waiting:
                return False
            least = max(waiting, key=lambda one: (held[one._peer()], -one._made))
            least._ended = True
            least.transport.abort()
            return True

        def _peer(self) -> str:
            return self.client[0] if self.client else ""

        def _waiting(self) -> bool:
            """Whether the client has something to send before it can be answered."""
            return not self._answering() or self.cycle.more_body

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


def check_address(host: str, port: int) -> None:
    """Raises ParameterError where nobody can listen at that address now."""
    if not 0 <= port <= 65535:
        raise ParameterError(f"--port {port}: give a number from 0 to 65535")
    try:
        found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ParameterError(f"--host {host}: no address of this machine ({error})") from error
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise ParameterError(_cannot_listen(host, port, error)) from error


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--port {port}: another program listens there already; choose another port, or 0 for any free one"
    if error.errno == errno.EACCES:
        return f"--port {port}: ports below 1024 are for the system; choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host}: no address of this machine; use 127.0.0.1, or 0.0.0.0 for all of its addresses"
    return f"--host {host} --port {port}: {error.strerror}"


def check_certificate(certificate: Path | None, key: Path | None) -> None:
    """Raises ParameterError for files that are not a certificate and its key."""
    if certificate is None:
        return
    for option, file in (("--tls-cert", certificate), ("--tls-key", key)):
        if file is not None and not file.is_file():
            raise ParameterError(f"{option} {file}: no such file")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise ParameterError(f"{certificate}, {key}: not a certificate and its key ({error})") from error


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
