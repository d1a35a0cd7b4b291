"""The worker as a program declares it."""
from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from .context import Handler
from .model import is_identifier
from .registry import TaskTable
from .tls import TLS

if TYPE_CHECKING:  # The processes of tasks import this module, and gRPC does not survive a fork.
    from .service import Service

H = TypeVar("H", bound=Handler)


class Worker(TaskTable):
    """Runs tasks of Rota: jobs of kind `task` with one of the names that it offers.

    With the process pool it has to be a variable at the top level of its module, with all its handlers,
    and nothing there may start threads or open connections: the processes of tasks import it, too.
    """

    def __init__(
        self,
        worker_id: str | None = None,
        etcd: Sequence[str] = ("127.0.0.1:2379",),
        *,
        slots: int | None = None,
        labels: Mapping[str, str] | None = None,
        cpus: float | None = None,
        memory_bytes: int | None = None,
        resources: Mapping[str, float] | None = None,
        pool: Literal["process", "thread"] = "process",
        data_dir: str | Path | None = None,
        prefix: str = "/rota",
        lease_ttl: int = 6,
        drain_timeout: float = 30.0,
        log_bytes: int = 20 << 20,
        tls: TLS | None = None,
        etcd_tls: TLS | None = None,
    ) -> None:
        """Nothing happens before `run`.

        worker_id      unique in the cluster; the host's name when absent
        etcd           etcd's endpoints: host:port or http(s) URLs
        slots          how many tasks run at once; four for each core when absent
        labels         what the constraints of jobs are held against
        cpus           processors that jobs may ask for; the machine's when absent
        memory_bytes   memory that jobs may ask for; the machine's when absent
        resources      what else jobs may ask for: {"gpu": 2}
        pool           `process`: each attempt in a process, which can be killed. `thread`: cheap, for
                       handlers that look at `Context.raise_if_cancelled` often
        data_dir       for results, logs and the lease; one worker at a time. ~/.local/state/rota-worker/<id> when absent
        prefix         of Rota's keys in etcd
        lease_ttl      seconds, 2 to 3600: after so long without contact to etcd the work moves elsewhere
        drain_timeout  seconds that tasks may go on after SIGTERM
        log_bytes      the most that is kept of each attempt's output, per stream
        tls, etcd_tls  certificates for the leader and for etcd; without them there is no TLS
        """
        super().__init__()
        self._worker_id = worker_id
        self._etcd = tuple(etcd)
        self._slots = slots
        self._labels = dict(labels or {})
        self._cpus = cpus
        self._memory_bytes = memory_bytes
        self._resources = dict(resources or {})
        self._pool: Literal["process", "thread"] = pool
        self._data_dir = data_dir
        self._prefix = prefix
        self._lease_ttl = lease_ttl
        self._drain_timeout = drain_timeout
        self._log_bytes = log_bytes
        self._tls = tls
        self._etcd_tls = etcd_tls
        self._service: Service | None = None

    def task(self, name: str) -> Callable[[H], H]:
        """Offers a task: decorates `handler(context, payload)`."""
        if not is_identifier(name):
            raise ValueError(f"task: {name!r} does not match [a-z0-9][a-z0-9._-]{{0,127}}")
        if name in self.handlers:
            raise ValueError(f"task: {name!r} is offered twice")

        def offer(handler: H) -> H:
            self.handlers[name] = handler
            return handler

        return offer

    def run(self, target: str | None = None, attribute: str | None = None) -> None:
        """Works until SIGTERM, SIGINT or `drain`; raises `RuntimeError` when it cannot go on.

        `target` (a module's name or a file) and `attribute` say where the processes of tasks find this worker;
        they are found out when `run` is called in the program that defines it.
        """
        from .config import (
            Configuration,
            default_cpus,
            default_data_dir,
            default_memory,
            default_slots,
            default_worker_id,
        )
        from .service import Service

        worker_id = self._worker_id or default_worker_id()
        data_dir = self._data_dir or default_data_dir(worker_id)
        configuration = Configuration(
            worker_id=worker_id,
            etcd=self._etcd,
            slots=self._slots or default_slots(),
            labels=self._labels,
            cpus=default_cpus() if self._cpus is None else self._cpus,
            memory_bytes=default_memory() if self._memory_bytes is None else self._memory_bytes,
            resources=self._resources,
            pool=self._pool,
            data_dir=Path(data_dir),
            prefix=self._prefix,
            lease_ttl=self._lease_ttl,
            drain_timeout=self._drain_timeout,
            log_bytes=self._log_bytes,
            tls=self._tls,
            etcd_tls=self._etcd_tls,
        )
        if self._pool == "process" and (target is None or attribute is None):
            target, attribute = self._find_home()
        self._service = Service(configuration, self.handlers, target or "", attribute or "")
        self._service.run()

    def _find_home(self) -> tuple[str, str]:
        """Where this worker is defined."""
        for name, module in list(sys.modules.items()):
            for attribute, value in list(vars(module).items()) if module is not None else []:
                if value is self:
                    if name != "__main__":
                        return name, attribute
                    if path := getattr(module, "__file__", None):
                        return str(Path(path).absolute()), attribute
        raise RuntimeError(
            "the worker is no variable at the top level of a module, so that the processes of tasks cannot find "
            "it: make it one, or use pool=\"thread\""
        )

    def drain(self, timeout: float | None = None) -> None:
        """From any thread: take no new work, let tasks finish for `timeout` seconds, end the rest, and return
        from `run`. As SIGTERM does with `drain_timeout`."""
        if self._service is None:
            raise RuntimeError("the worker does not run")
        self._service.drain(timeout)
