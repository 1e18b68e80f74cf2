"""A server that speaks OpenAI's API and says what a test wants said."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """Speaks OpenAI's chat completions: each answer is a text, or (tool, arguments)."""

    def __init__(self, *answers: str | tuple[str, dict[str, Any]]) -> None:
        waiting, self.asked = list(answers), []
        asked: list[dict[str, Any]] = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(b'{"data": [{"id": "m", "max_model_len": 16384}]}')

            def do_POST(self) -> None:
                asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                said = waiting.pop(0)
                delta: dict[str, Any] = {"content": said}
                if isinstance(said, tuple):
                    function = {"name": said[0], "arguments": json.dumps(said[1])}
                    delta = {"tool_calls": [{"index": 0, "id": f"c{len(asked)}", "function": function}]}
                usage = {"prompt_tokens": 90, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 60}}
                events = [
                    {"choices": [{"delta": delta}]},
                    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
                    {"choices": [], "usage": usage},
                ]
                lines = [f"data: {json.dumps(event)}\n\n" for event in events]
                self._send("".join([*lines, "data: [DONE]\n\n"]).encode())

            def _send(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
