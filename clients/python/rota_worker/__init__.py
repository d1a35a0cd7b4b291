"""Workers for Rota, the distributed job scheduler.

    from rota_worker import Context, Worker

    worker = Worker(etcd=["127.0.0.1:2379"], data_dir="/var/lib/my-worker")

    @worker.task("resize")
    def resize(context: Context, payload):
        context.progress(0.5, "half of it")
        return {"width": payload["width"]}

    if __name__ == "__main__":
        worker.run()

The protocol is described in docs/AGENT_PROTOCOL.md.
"""
from __future__ import annotations

from .context import Cancelled, CheckpointError, Context, Fail, Handler, Retry, TaskInfo
from .tls import TLS
from .worker import Worker

__all__ = ["TLS", "Cancelled", "CheckpointError", "Context", "Fail", "Handler", "Retry", "TaskInfo", "Worker"]

