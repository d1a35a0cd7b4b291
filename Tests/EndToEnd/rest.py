"""Plain HTTP against a server's REST side, without a library that could hide anything."""
from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class Rest:
    """One server's REST side. Every call has its own connection."""

    def __init__(self, address: str, timeout: float = 15, tls: ssl.SSLContext | None = None) -> None:
        self.address = address
        self.timeout = timeout
        self.tls = tls

    def _connection(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection(self.address, timeout=self.timeout)
        return http.client.HTTPSConnection(self.address, timeout=self.timeout, context=self.tls)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        query: dict[str, Any] | None = None,
    ) -> Answer:
        """`body` is sent as it is when it is bytes, else as JSON."""
        sent = {"content-type": "application/json"} if body is not None else {}
        sent.update(headers or {})
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = self._connection()
        try:
            connection.request(method, path + (f"?{urlencode(query)}" if query else ""), data, sent)
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, fields, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **query: Any) -> Answer:
        return self.request("GET", path, query=query or None)

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        return self.request("POST", path, body, headers)

    def delete(self, path: str) -> Answer:
        return self.request("DELETE", path)

    def raw(self, data: bytes, timeout: float = 10) -> bytes:
        """Sends bytes as they are and returns whatever comes until the server closes or goes quiet."""
        host, port = self.address.rsplit(":", 1)
        received = b""
        with socket.create_connection((host, int(port)), timeout=timeout) as connection:
            try:
                connection.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all was sent: the answer may still be there
            try:
                while b"\r\n\r\n" not in received or len(received) < _expected_length(received):
                    chunk = connection.recv(65536)
                    if not chunk:
                        break
                    received += chunk
            except (TimeoutError, ConnectionResetError):
                pass
        return received


def _expected_length(received: bytes) -> int:
    head, _, _ = received.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return len(head) + 4 + int(value)
    return len(head) + 4


def raw_status(received: bytes) -> int:
    """The status of a raw answer; 0 when there was none."""
    parts = received.split(b" ", 2)
    return int(parts[1]) if received.startswith(b"HTTP/") and len(parts) > 1 else 0


def listed(answer: Answer, field: str) -> list[dict[str, Any]]:
    """The elements of a listing."""
    assert answer.status == 200, f"{answer.status}: {answer.text}"
    document = answer.json()
    assert field in document, f"no {field!r} in {answer.text[:300]}"
    return document[field]
