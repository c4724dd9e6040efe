"""What gRPC writes on HTTP/2: messages in pieces, deadlines, metadata and states."""

from __future__ import annotations

import gzip
from urllib.parse import unquote

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.errors import InputRejected, Reason
from mpi.server.http2.messages import (
    MAX_MESSAGE_BYTES,
    Assembler,
    ended,
    framed,
    metadata_of,
    seconds_of,
)


@given(st.lists(st.binary(max_size=200), max_size=5), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_messages_come_whole_however_they_are_cut(messages, sizes):
    """Any pieces of any size give the same messages in the same order, and nothing is held in the end."""
    stream = b"".join(map(framed, messages))
    assembler, found, at, turn = Assembler(), [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        found += assembler.taken(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert found == messages
    assert assembler.held == 0


def test_part_of_a_message_is_held():
    """What has come of a message counts, so that it can be bounded."""
    assembler = Assembler()
    assert assembler.taken(framed(b"hello")[:7]) == []
    assert assembler.held == 7
    assert assembler.taken(b"llo") == [b"hello"]
    assert assembler.held == 0


def test_compressed_messages_are_refused():
    """What little came could open to very much."""
    with pytest.raises(InputRejected, match="compressed"):
        Assembler().taken(b"\1" + framed(gzip.compress(bytes(1000)))[1:])


def test_messages_over_the_limit_are_refused():
    """By what is said of their length, before they come."""
    with pytest.raises(InputRejected, match="larger than max") as caught:
        Assembler().taken(b"\0" + (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"))
    assert caught.value.reason is Reason.BATCH_TOO_LARGE


def test_the_longest_message_is_taken():
    """In one piece, and in two."""
    message = bytes(MAX_MESSAGE_BYTES)
    assert Assembler().taken(framed(message)) == [message]
    assembler = Assembler()
    assert assembler.taken(framed(message)[:9]) == []
    assert assembler.taken(framed(message)[9:]) == [message]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (b"", None),
        (b"1H", 3600.0),
        (b"2M", 120.0),
        (b"99999999S", 99_999_999.0),
        (b"250m", 0.25),
        (b"250u", 0.00025),
        (b"5n", 5e-9),
        (b"0m", 0.0),
        (b"123456789S", 0.0),
        (b"-1S", 0.0),
        (b"1", 0.0),
        (b"1X", 0.0),
        (b"1.5S", 0.0),
        ("１S".encode(), 0.0),
    ],
)
def test_deadlines_are_read(header, seconds):
    """What is no deadline of gRPC has passed."""
    assert seconds_of(header) == (None if seconds is None else pytest.approx(seconds))


def test_metadata_is_read():
    """Text and bytes, several values in one field; HTTP's and gRPC's own fields are left out, and what is no base64."""
    headers = (
        (b":path", b"/a"),
        (b"grpc-timeout", b"1S"),
        (b"mpi-hedged", b"1"),
        (b"x-bin", b"AQI,Aw=="),
        (b"y-bin", b"!"),
    )
    assert metadata_of(headers) == [("mpi-hedged", "1"), ("x-bin", b"\1\2"), ("x-bin", b"\3")]


@given(st.text(max_size=50))
def test_states_go_both_ways(message):
    """Any text of a state comes back as it was, and only printable ASCII travels."""
    state = dict(ended(grpc.StatusCode.NOT_FOUND, message))
    assert state[b"grpc-status"] == b"5"
    assert all(0x20 <= each <= 0x7E for each in state[b"grpc-message"])
    assert unquote(state[b"grpc-message"].decode(), errors="strict") == message


def test_the_end_of_an_answer_says_what_was_set():
    """Text as it is, bytes in base64 without its padding."""
    assert ended(grpc.StatusCode.OK, "", (("mpi-request", "ab"), ("x-bin", b"\1"))) == (
        (b"grpc-status", b"0"),
        (b"mpi-request", b"ab"),
        (b"x-bin", b"AQ"),
    )
