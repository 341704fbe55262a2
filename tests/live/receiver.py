"""A receiver that keeps every call Label Studio makes, and answers as the simplest ML backend."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request: path below the receiver's address, Authorization header, JSON body."""

    path: str
    authorization: str | None
    body: Any


@dataclass
class Receiver:
    """The calls that came, in order, and the version that /setup and /predict answer."""

    url: str = ""
    version: str = "v0"
    calls: list[Call] = field(default_factory=list)

    def events(self, action: str = "") -> list[Call]:
        """The webhook calls, of one action if named."""
        hooks = [call for call in self.calls if call.path.endswith("/webhook")]
        return [call for call in hooks if not action or call.body.get("action") == action]

    def answer(self, version: str) -> None:
        """Answer /setup and /predict with this version from now on."""
        self.version = version

    def wait_for(self, found: Callable[[], Any], *, seconds: float = 20.0) -> Any:
        """What `found` answers as soon as it is true; fails after the deadline."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if answer := found():
                return answer
            time.sleep(0.05)
        raise AssertionError(f"not received within {seconds} s; came: {[c.path for c in self.calls]}")


@contextmanager
def run_receiver() -> Iterator[Receiver]:
    """Listen on a free port of the loopback interface until the end."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._take(None)

        def do_POST(self) -> None:
            self._take(json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"null"))

        def _take(self, body: Any) -> None:
            receiver.calls.append(Call(self.path, self.headers["Authorization"], body))
            answer = json.dumps(_answer(self.path, body, receiver.version)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _answer(path: str, body: Any, version: str) -> dict[str, Any]:
    if path.endswith("/health"):
        return {"status": "UP", "model_class": "Receiver"}
    if path.endswith("/versions"):
        return {"versions": [version]}
    if path.endswith("/predict"):
        return {"results": [{"result": [], "score": 0.5, "model_version": version} for _ in body["tasks"]]}
    return {"model_version": version}
