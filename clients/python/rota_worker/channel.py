"""Messages between the worker and the process of a task: JSON, and for checkpoints bytes behind it."""
from __future__ import annotations

import json
import struct
from typing import Any

from . import limits

HEADER = struct.Struct("<II")
"""The length of the JSON, the length of the bytes."""


def pack(message: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(message).encode()
    return HEADER.pack(len(text), len(data)) + text + data


def lengths(header: bytes) -> tuple[int, int]:
    """Both lengths; raises `ValueError` for what cannot be."""
    text, data = HEADER.unpack(header)
    if text + data > limits.FRAME_BYTES:
        raise ValueError(f"a message of {text + data} bytes; at most {limits.FRAME_BYTES} are taken")
    return text, data


def unpack(text: bytes, data: bytes) -> tuple[dict[str, Any], bytes]:
    message = json.loads(text)
    if not isinstance(message, dict):
        raise ValueError("a message that is no JSON object")
    return message, data
