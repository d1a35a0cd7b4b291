"""The little of etcd's HTTP gateway that a worker needs: leases, its key, and who leads."""
from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_RESPONSE_BYTES = 4 << 20


class EtcdError(Exception):
    """A request that failed. `not_found` tells a lease that is gone from a member that cannot be reached."""

    def __init__(self, message: str, not_found: bool = False) -> None:
        super().__init__(message)
        self.not_found = not_found


@dataclass(frozen=True)
class KeyValue:
    key: str
    value: bytes
    create_revision: int
    lease: int


class Etcd:
    """Asks one endpoint at a time and goes to the next when it does not answer. For one thread."""

    def __init__(
        self,
        endpoints: Sequence[str],
        timeout: float,
        context: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:
        """`endpoints` are host:port, or http(s) URLs; host:port takes TLS where there is a context.

        `context` is asked for each connection, since certificates change.
        """
        if not endpoints:
            raise ValueError("etcd: at least one endpoint is needed")
        self._endpoints = [parse_endpoint(endpoint, context() is not None) for endpoint in endpoints]
        self._timeout = timeout
        self._context = context
        self._current = 0
        self._connection: http.client.HTTPConnection | None = None

    # Requests

    def grant(self, ttl_seconds: int) -> tuple[int, int]:
        """A new lease: its id and its TTL in seconds."""
        answer = self._post("/v3/lease/grant", {"TTL": str(ttl_seconds)})
        return int(answer["ID"]), int(answer.get("TTL", 0))

    def keep_alive(self, lease: int) -> int:
        """Renews a lease by one request; its TTL in seconds, 0 when it is gone."""
        answer = self._post("/v3/lease/keepalive", {"ID": str(lease)})
        return int(answer.get("result", {}).get("TTL", 0))

    def revoke(self, lease: int) -> None:
        """Ends a lease, and with it its keys; no error when it is gone already."""
        try:
            self._post("/v3/lease/revoke", {"ID": str(lease)})
        except EtcdError as error:
            if not error.not_found:
                raise

    def get(self, key: str) -> KeyValue | None:
        found = self._pairs(self._post("/v3/kv/range", {"key": _encode(key)}))
        return found[0] if found else None

    def oldest(self, prefix: str) -> KeyValue | None:
        """The key under a prefix that was created first. Any member may answer, one that lags, too."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        request = {
            "key": _encode(prefix),
            "range_end": _encode(end),
            "limit": "1",
            "sort_order": "ASCEND",
            "sort_target": "CREATE",
            "serializable": True,
        }
        found = self._pairs(self._post("/v3/kv/range", request))
        return found[0] if found else None

    def create(self, key: str, value: bytes, lease: int) -> KeyValue:
        """Puts a key if there is none; what is there afterwards."""
        request = {
            "compare": [{"key": _encode(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
            "success": [{"request_put": {"key": _encode(key), "value": _encode(value), "lease": str(lease)}}],
            "failure": [{"request_range": {"key": _encode(key)}}],
        }
        answer = self._post("/v3/kv/txn", request)
        if answer.get("succeeded"):
            return KeyValue(key, value, int(answer["header"]["revision"]), lease)
        found = self._pairs(answer["responses"][0]["response_range"])
        if not found:
            raise EtcdError(f"the key {key} was there and was not returned")
        return found[0]

    def replace(self, held: KeyValue, value: bytes) -> bool:
        """Changes the value of a key that is still the same incarnation."""
        compare = {
            "key": _encode(held.key),
            "target": "CREATE",
            "result": "EQUAL",
            "create_revision": str(held.create_revision),
        }
        put = {"key": _encode(held.key), "value": _encode(value), "lease": str(held.lease)}
        answer = self._post("/v3/kv/txn", {"compare": [compare], "success": [{"request_put": put}]})
        return bool(answer.get("succeeded"))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # HTTP

    @staticmethod
    def _pairs(answer: Mapping[str, Any]) -> list[KeyValue]:
        return [
            KeyValue(
                base64.b64decode(pair["key"]).decode(),
                base64.b64decode(pair.get("value", "")),
                int(pair["create_revision"]),
                int(pair.get("lease", 0)),
            )
            for pair in answer.get("kvs", [])
        ]

    def _connect(self) -> http.client.HTTPConnection:
        secure, host, port = self._endpoints[self._current]
        if secure:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._context())
        return http.client.HTTPConnection(host, port, timeout=self._timeout)

    def _post(self, path: str, request: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps(request).encode()
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            data = response.read(_RESPONSE_BYTES)
            status = response.status
        except (OSError, http.client.HTTPException) as error:
            self.close()
            _, host, port = self._endpoints[self._current]
            self._current = (self._current + 1) % len(self._endpoints)
            raise EtcdError(f"{host}:{port}{path}: {error or type(error).__name__}") from error
        return self._decode(path, status, data)

    def _decode(self, path: str, status: int, data: bytes) -> dict[str, Any]:
        try:
            # The gateway answers a stream, as for a keepalive, with one JSON value per line.
            answer = json.loads(data.splitlines()[0] if data else b"{}")
        except (ValueError, IndexError) as error:
            self.close()
            raise EtcdError(f"{path}: the answer with status {status} is no JSON: {data[:100]!r}") from error
        if status == 200 and isinstance(answer, dict) and "error" not in answer:
            return answer
        text = str(answer.get("error") or answer.get("message") or answer) if isinstance(answer, dict) else str(answer)
        if status >= 500:
            self._current = (self._current + 1) % len(self._endpoints)
            self.close()
        raise EtcdError(f"{path}: {status}: {text}", not_found="lease not found" in text)


def parse_endpoint(endpoint: str, secure: bool) -> tuple[bool, str, int]:
    """Whether an endpoint takes TLS, its host and its port; `secure` is for one without a scheme."""
    if "//" not in endpoint:
        endpoint = ("https://" if secure else "http://") + endpoint
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"etcd: {endpoint!r} is neither host:port nor an http(s) URL")
    return parts.scheme == "https", parts.hostname, parts.port or 2379


def _encode(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
