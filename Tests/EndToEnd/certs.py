"""A cluster's certificates, made by `rota certs` as an operator would."""
from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True)
class Pair:
    """A certificate, its key, and the authority that its peers are checked against."""

    certificate: Path
    key: Path
    ca: Path

    def flags(self) -> list[str]:
        """For `rota agent` and the client commands."""
        return ["--tls-ca", str(self.ca), "--tls-cert", str(self.certificate), "--tls-key", str(self.key)]

    def server_flags(self) -> list[str]:
        """For `rota server`."""
        files = ["--tls-cert", str(self.certificate), "--tls-key", str(self.key)]
        return [*files, "--tls-client-ca", str(self.ca)]

    def etcd_flags(self) -> list[str]:
        """For a server or an agent whose etcd asks for certificates."""
        return ["--etcd-ca", str(self.ca), "--etcd-cert", str(self.certificate), "--etcd-key", str(self.key)]

    def channel_credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            self.ca.read_bytes(), self.key.read_bytes(), self.certificate.read_bytes()
        )

    def ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.certificate, self.key)
        return context


class Certificates:
    """An authority in a folder of its own."""

    def __init__(self, rota: Path, folder: Path, cluster: str = "e2e") -> None:
        self.program = rota
        self.folder = folder
        self.ca = folder / "ca.crt"
        self.run("init", "--cluster", cluster)

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [str(self.program), "certs", command, *arguments, "--dir", str(self.folder)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done

    def issue(self, role: str, name: str, *flags: str, out: Path | None = None) -> Pair:
        target = out or self.folder
        self.run("issue", role, name, *flags, *(["--out", str(out)] if out else []))
        return Pair(target / f"{role}-{name}.crt", target / f"{role}-{name}.key", self.ca)

    def without_certificate(self) -> ssl.SSLContext:
        """A client that knows the cluster and shows nothing of itself."""
        return ssl.create_default_context(cafile=str(self.ca))
