"""The examples of docs/AGENT_PROTOCOL.md are what they say."""
from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.message import Message

from cluster import CHECKOUT
from rota_client._generated.rota.v1 import agent_session_pb2 as pb
from rota_client._generated.rota.v1.types_pb2 import EndReason

DOCUMENT = (CHECKOUT / "docs" / "AGENT_PROTOCOL.md").read_text()
EXAMPLES = re.findall(r"```prototext\n# rota\.v1\.(\w+)\n(.*?)```", DOCUMENT, re.S)


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_example_is_such_a_message(kind: str, text: str) -> None:
    message: Message = text_format.Parse(text, getattr(pb, kind)())
    assert message.ByteSize() > 0
    again = getattr(pb, kind).FromString(message.SerializeToString())
    assert again == message


def test_every_message_of_the_protocol_has_an_example() -> None:
    assert DOCUMENT.count("```prototext") == len(EXAMPLES)
    shown: dict[str, set[str]] = {"AgentMessage": set(), "ServerMessage": set()}
    for kind, text in EXAMPLES:
        if kind in shown:
            shown[kind].add(text_format.Parse(text, getattr(pb, kind)()).WhichOneof("message"))
    assert shown["AgentMessage"] == {field.name for field in pb.AgentMessage.DESCRIPTOR.fields}
    # An Ack is one number, shown in a sentence.
    assert shown["ServerMessage"] | {"ack"} == {field.name for field in pb.ServerMessage.DESCRIPTOR.fields}
    assert {"LogQuery", "LogReply"} <= {kind for kind, _ in EXAMPLES}


def test_every_end_reason_is_explained() -> None:
    explained = set(re.findall(r"^\| `([A-Z_]+)` \|", DOCUMENT, re.M))
    # AGENT_LOST is the leader's word for an agent that cannot say anything any more.
    wanted = {name.removeprefix("END_REASON_") for name in EndReason.keys()} - {"UNSPECIFIED", "AGENT_LOST"}
    assert wanted <= explained


def test_json_examples_are_json_and_their_keys_are_what_they_claim() -> None:
    examples: list[dict[str, Any]] = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", DOCUMENT, re.S)]
    agent, server, txn, search = examples
    assert agent["kinds"] == ["task"] and agent["slots"] > 0
    assert "grpc_address" in server
    assert base64.b64decode(txn["compare"][0]["key"]) == b"/rota/agents/w1"
    assert base64.b64decode(search["key"]) == b"/rota/leader/"
    assert base64.b64decode(search["range_end"]) == b"/rota/leader0"
