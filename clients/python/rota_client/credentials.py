"""TLS: whom to trust, and who we are."""
from __future__ import annotations

from os import PathLike
from pathlib import Path

import grpc


def tls_credentials(
    ca: str | PathLike[str] | None = None,
    certificate: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
) -> grpc.ChannelCredentials:
    """Credentials from files in PEM, as `rota certs` makes them.

    `ca` is what the certificates of servers are checked against, grpc's own authorities without it.
    `certificate` and `key` go together and say who we are.
    """
    if (certificate is None) != (key is None):
        raise ValueError("certificate and key go together")

    def read(path: str | PathLike[str] | None) -> bytes | None:
        return None if path is None else Path(path).read_bytes()

    return grpc.ssl_channel_credentials(read(ca), read(key), read(certificate))
