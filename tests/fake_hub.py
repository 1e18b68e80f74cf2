"""A model hub on this machine, as `huggingface_hub` talks to one: a repository's listing, and files by range."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(ThreadingHTTPServer):
    """Serves `files` of one repository. `cut`: break a transfer off after that many bytes, so often."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], repository: str = "org/model", kind: str = "models") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repository = repository
        self.listing = f"/api/{kind}/{repository}"
        self.content = f"{'' if kind == 'models' else f'/{kind}'}/{repository}/resolve/{COMMIT}/"
        self.files = files
        self.served = dict(files)  # what is sent, should it differ from what is listed
        self.cut: list[int] = []
        self.stalled = False  # after such a cut, no other request is answered
        self.asked_again = threading.Event()
        self.ranges: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in (self.server.listing, f"{self.server.listing}/revision/main"):
            siblings = [_listed(name, data) for name, data in self.server.files.items()]
            self._send(200, json.dumps({"id": self.server.repository, "sha": COMMIT, "siblings": siblings}).encode())
        elif path.startswith(self.server.content):
            self._send_file(self.server.served[path.removeprefix(self.server.content)])
        else:
            self._send(404, b"")

    def _send_file(self, data: bytes) -> None:
        wanted = self.headers.get("Range", "bytes=0-")
        self.server.ranges.append(wanted)
        if self.server.stalled and not self.server.cut:
            self.server.asked_again.set()
            self.close_connection = True
            return
        rest = data[int(wanted.removeprefix("bytes=").rstrip("-")) :]
        self.send_response(206)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.cut:
            rest = rest[: self.server.cut.pop(0)]
            self.close_connection = True
        self.wfile.write(rest)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _listed(name: str, data: bytes) -> dict[str, object]:
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    listed: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": blob}
    if not name.endswith(".json"):
        listed["lfs"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 130}
    return listed
