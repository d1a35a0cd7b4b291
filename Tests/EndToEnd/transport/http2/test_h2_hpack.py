"""HPACK (RFC 7541): header blocks that cannot be decoded, and every representation that can."""
from __future__ import annotations

import wire
from case_table import Case, Cases
from raw_server import Server
from peer import Peer
from wire import COMPRESSION_ERROR, END_HEADERS, END_STREAM, HEADERS, frame

case = Cases()


def expect_undecodable(peer: Peer, octets: bytes) -> None:
    """A block that ends in these octets is a connection error COMPRESSION_ERROR (RFC 9113, 4.3)."""
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, peer.block() + octets))
    peer.expect_connection_error(COMPRESSION_ERROR)


# 2.3.3 Index address space


@case("hpack 2.3.3/1", "an indexed field with an index that nothing has is COMPRESSION_ERROR")
def _(peer: Peer) -> None:
    expect_undecodable(peer, b"\xff\x30")


@case("hpack 2.3.3/2", "a literal whose name has an index that nothing has is COMPRESSION_ERROR")
def _(peer: Peer) -> None:
    expect_undecodable(peer, b"\x7f\x10\x05value")


# 4.2 Maximum table size


@case("hpack 4.2/1", "a table size update at the end of a block is COMPRESSION_ERROR")
def _(peer: Peer) -> None:
    expect_undecodable(peer, b"\x21")


# 5.1 Integers, 5.2 Strings


@case("hpack 5.1/1", "an integer of endless octets is COMPRESSION_ERROR")
def _(peer: Peer) -> None:
    expect_undecodable(peer, b"\x7f" + b"\xff" * 20 + b"\x01")


@case("hpack 5.2/1", "Huffman padding of more than 7 bits is COMPRESSION_ERROR")
def _(peer: Peer) -> None:
    expect_undecodable(peer, b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")


@case("hpack 5.2/2", "Huffman padding of zeros is COMPRESSION_ERROR")
def _(peer: Peer) -> None:
    expect_undecodable(peer, b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")


@case("hpack 5.2/3", "the Huffman code of EOS inside a string is COMPRESSION_ERROR")
def _(peer: Peer) -> None:
    expect_undecodable(peer, b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f")


@case("hpack 5.2/4", "a string longer than its block is COMPRESSION_ERROR")
def _(peer: Peer) -> None:
    expect_undecodable(peer, b"\x00\x04name\x7f\x05short")


# 6.1 Indexed fields


@case("hpack 6.1/1", "index 0 is COMPRESSION_ERROR")
def _(peer: Peer) -> None:
    expect_undecodable(peer, b"\x80")


# 6.3 Table size update


@case("hpack 6.3/1", "a table larger than SETTINGS_HEADER_TABLE_SIZE is COMPRESSION_ERROR")
def _(peer: Peer) -> None:
    # 4,097 octets: one more than the default, which the server does not raise.
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe2\x1f" + peer.block()))
    peer.expect_connection_error(COMPRESSION_ERROR)


# What must be accepted. The server answers whatever path it was sent, so that a wrong decoding shows.

PATH = b"/grpc.testing.TestService/EmptyCall"
STATIC_METHOD_POST, STATIC_SCHEME_HTTP = b"\x83", b"\x86"
NAME_AUTHORITY, NAME_PATH, NAME_CONTENT_TYPE = 1, 4, 31
CONTENT_TYPE = b"application/grpc"


def string(octets: bytes) -> bytes:
    assert len(octets) < 127
    return bytes([len(octets)]) + octets


def indexed_name(prefix: int, bits: int, index: int) -> bytes:
    """The index of a name behind a prefix, where `bits` bits are left for it."""
    limit = (1 << bits) - 1
    return bytes([prefix | index]) if index < limit else bytes([prefix | limit, index - limit])


def literals(prefix: int, bits: int, *, with_names: bool) -> bytes:
    """A whole request in one kind of literal: names from the static table, or written out."""
    fields = [
        (NAME_PATH, b":path", PATH),
        (NAME_AUTHORITY, b":authority", b"test"),
        (NAME_CONTENT_TYPE, b"content-type", CONTENT_TYPE),
    ]
    out = STATIC_METHOD_POST + STATIC_SCHEME_HTTP
    for index, name, value in fields:
        head = bytes([prefix]) + string(name) if with_names else indexed_name(prefix, bits, index)
        out += head + string(value)
    return out + bytes([prefix]) + string(b"te") + string(b"trailers")


def expect_accepted(peer: Peer, *blocks: bytes) -> None:
    for block in blocks:
        stream = peer.new_stream()
        peer.send(frame(HEADERS, END_HEADERS, stream, block))
        peer.end(stream)
        answer = peer.answer(stream)
        assert (answer.grpc_status, answer.data) == (0, wire.message()), answer


@case("hpack generic 5/1", "indexed fields of the static and the dynamic table are accepted")
def _(peer: Peer) -> None:
    block = literals(0x40, 6, with_names=False)
    # Entries of the dynamic table are numbered from 62, the latest first: te, content-type, :authority, :path.
    expect_accepted(peer, block, STATIC_METHOD_POST + STATIC_SCHEME_HTTP + b"\xc1\xc0\xbf\xbe")


@case("hpack generic 5/2", "literals with incremental indexing and an indexed name are accepted")
def _(peer: Peer) -> None:
    expect_accepted(peer, literals(0x40, 6, with_names=False))


@case("hpack generic 5/3", "literals with incremental indexing and a new name are accepted")
def _(peer: Peer) -> None:
    expect_accepted(peer, literals(0x40, 6, with_names=True))


@case("hpack generic 5/4", "literals without indexing and an indexed name are accepted")
def _(peer: Peer) -> None:
    expect_accepted(peer, literals(0x00, 4, with_names=False))


@case("hpack generic 5/5", "literals without indexing and a new name are accepted")
def _(peer: Peer) -> None:
    expect_accepted(peer, literals(0x00, 4, with_names=True))


@case("hpack generic 5/6", "never-indexed literals with an indexed name are accepted")
def _(peer: Peer) -> None:
    expect_accepted(peer, literals(0x10, 4, with_names=False))


@case("hpack generic 5/7", "never-indexed literals with a new name are accepted")
def _(peer: Peer) -> None:
    expect_accepted(peer, literals(0x10, 4, with_names=True))


@case("hpack generic 5/8", "a table size update at the beginning of a block is accepted")
def _(peer: Peer) -> None:
    expect_accepted(peer, b"\x20" + literals(0x40, 6, with_names=False), b"\x3f\xe1\x1f" + peer.block())


@case("hpack generic 5/9", "Huffman-coded strings are accepted")
def _(peer: Peer) -> None:
    expect_accepted(peer, peer.encoder.encode(peer.request_fields(), huffman=True))


@case("hpack generic 5/10", "strings without Huffman coding are accepted")
def _(peer: Peer) -> None:
    expect_accepted(peer, peer.encoder.encode(peer.request_fields(), huffman=False))


@case("hpack generic 5/11", "a dynamic table that overflows goes on with its latest entries")
def _(peer: Peer) -> None:
    for number in range(100):
        fields = peer.request_fields(extra=[(f"x-{number}", "v" * 100)])
        expect_accepted(peer, peer.encoder.encode(fields))


@case.each()
def test_http2(case: Case, server: Server) -> None:
    case.run(server)
