"""What has to survive the worker's process: begun attempts, and ends until they are acknowledged.

One file per attempt: an `AttemptUpdate`, without an end while the task runs.
"""
from __future__ import annotations

import logging

from google.protobuf.message import DecodeError

from rota_client._generated.rota.v1.agent_session_pb2 import AttemptUpdate

from . import files
from .model import AttemptRef, Update
from .wire import update_from_wire, update_to_wire

log = logging.getLogger("rota_worker.journal")


class Journal:
    def __init__(self, folder: files.DataFolder) -> None:
        self._folder = folder

    def load(self) -> list[Update]:
        """What an earlier process left."""
        updates = []
        for path in self._folder.journal.iterdir():
            if path.suffix == ".new":
                path.unlink()
                continue
            try:
                updates.append(update_from_wire(AttemptUpdate.FromString(path.read_bytes())))
            except (DecodeError, ValueError) as error:
                log.error("the journal's file %s cannot be read and is left alone: %s", path, error)
        return updates

    def keep(self, update: Update) -> None:
        """A disk that refuses makes a restart forget, no more: the end is still delivered from memory."""
        try:
            files.replace(self._folder.journal_file(update.ref.key), update_to_wire(update).SerializeToString())
        except OSError as error:
            log.error("the journal cannot be written: %s", error)

    def forget(self, ref: AttemptRef) -> None:
        try:
            self._folder.journal_file(ref.key).unlink(missing_ok=True)
        except OSError as error:
            log.error("the journal cannot be written: %s", error)
