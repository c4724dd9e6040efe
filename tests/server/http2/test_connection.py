"""Connections over real sockets, with clients of gRPC and with some that keep to nothing."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import grpc
import ngh2
import pytest

from mpi.server.http2 import connection, listener
from mpi.server.http2.messages import MAX_MESSAGE_BYTES, framed
from tests.server.http2.raw import Calls, Raw, serving


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def address(calls: Calls) -> Iterator[str]:
    with serving(calls) as at:
        yield at


def code(error: pytest.ExceptionInfo[grpc.RpcError]) -> grpc.StatusCode:
    return error.value.code()  # type: ignore[no-any-return, attr-defined]


class TestCalls:
    """What clients of gRPC get."""

    def test_answers_come_back(self, address):
        """Empty, short, and as long as may be."""
        with grpc.insecure_channel(address, (("grpc.max_receive_message_length", -1),)) as channel:
            echo = channel.unary_unary("/test/Echo")
            for content in (b"", b"hello", bytes(MAX_MESSAGE_BYTES)):
                assert echo(content, timeout=20) == content

    def test_compressed_requests_are_refused(self, address):
        """With what a client can act on."""
        with grpc.insecure_channel(address, compression=grpc.Compression.Gzip) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary("/test/Echo")(b"x" * 10_000, timeout=5)
            assert code(caught) is grpc.StatusCode.UNIMPLEMENTED

    def test_streams_go_both_ways(self, address):
        """As many messages as are sent, in their order."""
        sent = [bytes([number]) * 50_000 for number in range(100)]
        with grpc.insecure_channel(address) as channel:
            assert list(channel.stream_stream("/test/Many")(iter(sent), timeout=20)) == sent

    def test_calls_that_come_together_are_served_together(self, calls, address):
        """One group for what came in one read; every call has its own answer."""
        with Raw(address) as raw:
            streams = []
            for number in range(20):
                fields = tuple(({**dict(RAW_HEADERS), b":path": b"/test/AtOnce"}).items())
                streams.append(raw.http.send_request(fields))
                raw.http.send_data(streams[-1], framed(bytes([number])), end_stream=True)
            raw.send()
            for number, stream in enumerate(streams):
                said, content = raw.status(stream)
                assert (said[b"grpc-status"], content) == (b"0", framed(bytes([number])))
        assert calls.together == [20]

    def test_groups_are_no_larger_than_is_good_for_others(self, monkeypatch, calls, address):
        """What is left over is served in the next turn."""
        monkeypatch.setattr(connection, "TOGETHER", 8)
        with Raw(address) as raw:
            streams = []
            for _ in range(20):
                fields = tuple(({**dict(RAW_HEADERS), b":path": b"/test/AtOnce"}).items())
                streams.append(raw.http.send_request(fields))
                raw.http.send_data(streams[-1], framed(b"x"), end_stream=True)
            raw.send()
            assert all(raw.status(stream)[1] == framed(b"x") for stream in streams)
        assert calls.together == [8, 8, 4]

    def test_an_unknown_call_is_said_to_be_unknown(self, address):
        """It is not the end of the connection."""
        with grpc.insecure_channel(address) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary("/test/None")(b"", timeout=5)
            assert code(caught) is grpc.StatusCode.UNIMPLEMENTED
            assert channel.unary_unary("/test/Echo")(b"x", timeout=5) == b"x"

    def test_a_failure_tells_nothing(self, address):
        """The text of an error that was not foreseen stays here."""
        with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/test/Fail")(b"", timeout=5)
        assert code(caught) is grpc.StatusCode.INTERNAL
        assert "1103702488992" not in str(caught.value)

    def test_who_gives_up_is_served_no_further(self, calls, address):
        """The handler is told."""
        with grpc.insecure_channel(address) as channel:
            call = channel.unary_unary("/test/Wait").future(b"", timeout=20)
            time.sleep(0.1)
            call.cancel()
            assert calls.cancelled.wait(5)

    def test_a_call_that_is_given_up_at_once_is_not_begun(self, calls, address):
        """Its request has gone by then: a handler that began would take it for an empty one."""
        with Raw(address) as raw:
            for path in (b"/test/Echo", b"/test/AtOnce"):
                stream = raw.http.send_request(tuple({**dict(RAW_HEADERS), b":path": path}.items()))
                raw.http.send_data(stream, framed(b"never"), end_stream=True)
                sent = raw.http.data_to_send()
                raw.http.reset_stream(stream, 8)
                raw.socket.sendall(sent + raw.http.data_to_send())
            said, _ = raw.status(raw.call(b"next"))
        assert said[b"grpc-status"] == b"0"
        assert (calls.echoed, sum(calls.together)) == ([b"next"], 0)

    def test_a_handshake_that_failed_leaves_nothing_to_wait_for(self):
        """No word of it comes: the connection is forgotten at once, not when the collector comes to it."""
        with closing(asyncio.new_event_loop()) as loop:
            shared = connection.Shared({}, "")
            gc.disable()
            try:
                connection.Connection(shared, loop)
                assert not shared.arriving
            finally:
                gc.enable()

    def test_who_vanishes_is_served_no_further(self, calls, address):
        """Neither is a client whose connection breaks."""
        with Raw(address) as raw:
            raw.call(b"x", path=b"/test/Wait")
            time.sleep(0.1)
        assert calls.cancelled.wait(5)

    def test_a_deadline_is_kept(self, calls, address):
        """By the server, too: the handler ends, and the client hears of it even if it waits on."""
        with Raw(address) as raw:
            said, _ = raw.status(raw.call(b"x", path=b"/test/Wait", grpc_timeout=b"200m"))
        assert said[b"grpc-status"] == str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0]).encode()
        assert calls.cancelled.wait(5)

    @pytest.mark.parametrize("timeout", [b"0m", b"soon"])
    def test_a_deadline_that_has_passed_begins_nothing(self, address, timeout):
        """Nor does one that is none."""
        with Raw(address) as raw:
            said, content = raw.status(raw.call(b"x", grpc_timeout=timeout))
        assert (said[b"grpc-status"], content) == (b"4", b"")


RAW_HEADERS = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/test/Echo"),
    (b":authority", b"localhost"),
    (b"content-type", b"application/grpc"),
)


class TestWrongInput:
    """One call's error is its own: the same connection serves the next one."""

    @pytest.mark.parametrize(
        ("changed", "content", "status"),
        [
            ({"grpc_encoding": b"snappy"}, framed(b"x"), b"12"),
            ({}, b"", b"3"),
            ({}, b"\0\0\0", b"3"),
            ({}, framed(b"x") + b"\0", b"3"),
            ({}, framed(b"x") + framed(b"y"), b"3"),
            ({}, b"\1" + framed(b"x")[1:], b"3"),
            ({}, b"\0\xff\xff\xff\xff" + bytes(100), b"8"),
            ({"path": b"/test/Many"}, framed(b"x")[:-1], b"3"),
        ],
        ids=["compression", "nothing", "half", "more", "two", "compressed", "too long", "half in a stream"],
    )
    def test_a_wrong_message_is_refused(self, address, changed, content, status):
        """With what is wrong."""
        with Raw(address) as raw:
            stream = raw.open(**changed)
            raw.say(stream, content, end=True)
            said, _ = raw.status(stream)
            assert said[b"grpc-status"] == status
            said, content = raw.status(raw.call(b"next"))
            assert (said[b"grpc-status"], content) == (b"0", framed(b"next"))

    @pytest.mark.parametrize(
        "changed",
        [{"content_type": b"text/html"}, {"content_type": b"application/grpc-web+proto"}, {"method": b"GET"}],
    )
    def test_what_is_not_grpc_is_not_served(self, address, changed):
        """A browser, say."""
        with Raw(address) as raw:
            said, _ = raw.status(raw.call(b"x", **changed))
        assert said[b":status"] == b"415"

    @pytest.mark.parametrize("kind", [b"application/grpc+proto", b"application/grpc;charset=utf-8"])
    def test_a_content_type_may_say_more(self, address, kind):
        """Of what is in the messages."""
        with Raw(address) as raw:
            said, content = raw.status(raw.call(b"x", content_type=kind))
        assert (said[b"grpc-status"], content) == (b"0", framed(b"x"))

    @pytest.mark.parametrize(
        "said",
        [
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
            bytes(500),
            b"PRI * HTTP/2.0\r\n\r\nxx",
        ],
        ids=["HTTP/1.1", "TLS", "zeros", "half a preface"],
    )
    def test_other_protocols_are_hung_up_on(self, address, said):
        """And the server goes on."""
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=10) as opened:
            opened.sendall(said)
            with suppress(ConnectionResetError):
                while opened.recv(1 << 16):
                    pass
        with Raw(address) as other:
            assert other.status(other.call(b"x"))[1] == framed(b"x")

    def test_too_many_headers_end_in_a_refusal(self, address):
        """Of the call or of the connection, and of nobody else's."""
        with Raw(address) as raw, Raw(address) as other:
            stream = raw.open(**{f"x_{number}": bytes([97]) * 1000 for number in range(60)})
            raw.say(stream, framed(b"x"), end=True)
            said, _ = raw.status(stream, 3.0)
            assert said.get(b"grpc-status") != b"0"
            assert other.status(other.call(b"x"))[1] == framed(b"x")


class TestLimits:
    """No client costs more than its share, whatever it does."""

    def test_a_flood_of_calls_that_are_given_up_ends_the_connection(self, monkeypatch, address):
        """Others are served meanwhile; what is a flood is set lower here, as a busy machine may make no other."""
        assert max(connection._CONFIGURATION.stream_reset_rate_limit) <= 10_000
        few = replace(connection._CONFIGURATION, stream_reset_rate_limit=(1000, 1))
        monkeypatch.setattr(connection, "_CONFIGURATION", few)
        with Raw(address) as raw, Raw(address) as other:
            for _ in range(30):
                try:
                    opened = [raw.open() for _ in range(100)]
                    for stream in opened:
                        raw.http.reset_stream(stream)
                    raw.send()
                except (OSError, ngh2.NGH2Error):
                    break
                raw.read(0.01)
            raw.until(lambda events: any(each is None or isinstance(each, ngh2.GoAwayReceived) for each in events))
            assert raw.closed or any(isinstance(each, ngh2.GoAwayReceived) for each in raw.events)
            assert other.status(other.call(b"x"))[1] == framed(b"x")

    def test_who_does_not_read_keeps_no_more_than_a_little_waiting(self, calls, address):
        """The handler of a stream waits for its client."""
        with Raw(address, takes=False) as raw:
            raw.call(b"", path=b"/test/Flood")
            time.sleep(0.5)
            first = calls.sent
            time.sleep(0.5)
            assert calls.sent == first
            assert calls.sent * 100_000 < 4 * connection.AHEAD_BYTES

    def test_who_takes_no_answers_is_asked_to_take_them_first(self, monkeypatch, address):
        """Beyond some bytes further calls are refused; when the answers are taken they are served again."""
        monkeypatch.setattr(connection, "UNREAD_BYTES", 1 << 20)
        with Raw(address, takes=False) as raw:
            streams = []
            for _ in range(40):
                streams.append(raw.open())
                raw.say(streams[-1], framed(bytes(60_000)), end=True)
                raw.read(0.01)
            said, _ = raw.status(streams[-1], 3.0)
            assert said[b"grpc-status"] == b"8"
            end = time.monotonic() + 10
            while time.monotonic() < end and raw.http.local_window_size < 1 << 30:
                raw.http.set_local_window_size(1 << 30)
                raw.send()
            closed = {each.stream_id for each in raw.until(_closed(30)) if isinstance(each, ngh2.StreamClosed)}
            assert len(closed) >= 30
            assert raw.status(raw.call(b"x"))[1] == framed(b"x")

    def test_half_sent_requests_are_bounded(self, monkeypatch, address):
        """The call that brings too much is refused; others of the same connection are not."""
        monkeypatch.setattr(connection, "HALF_SENT_BYTES", 200_000)
        with Raw(address) as raw:
            half = [raw.open() for _ in range(5)]
            for stream in half:
                raw.say(stream, framed(bytes(1_000_000))[:60_000])
                raw.read(0.02)
            assert raw.status(half[3])[0][b"grpc-status"] == b"8"
            assert raw.status(raw.call(b"x"))[1] == framed(b"x")
            raw.http.reset_stream(half[0])
            raw.send()
            assert raw.status(raw.call(b"y"))[1] == framed(b"y")

    def test_connections_of_one_client_are_bounded(self, monkeypatch, address):
        """One too many is told to go, and closed; those before it go on, and a place that becomes free can be had."""
        monkeypatch.setattr(connection, "CONNECTIONS_OF_ONE", 2)
        monkeypatch.setattr(connection, "NOBODY", replace(connection.NOBODY, certificate=b"somebody's"))
        with Raw(address) as first:
            assert first.status(first.call(b"x"))[1] == framed(b"x")
            with Raw(address) as second:
                assert second.status(second.call(b"x"))[1] == framed(b"x")
                for _ in range(3):
                    with Raw(address) as third:
                        third.read(5)
                        assert third.closed
                        assert any(isinstance(each, ngh2.GoAwayReceived) for each in third.events)
                assert first.status(first.call(b"y"))[1] == framed(b"y")
                assert second.status(second.call(b"y"))[1] == framed(b"y")
            until = time.monotonic() + 10
            while time.monotonic() < until:
                with Raw(address) as fourth, suppress(AssertionError, KeyError, OSError, ngh2.NGH2Error):
                    if fourth.status(fourth.call(b"z"))[1] == framed(b"z"):
                        return
            raise AssertionError("the place did not become free")

    def test_requests_without_an_end_are_bounded(self, monkeypatch, address):
        """Whole messages count as well, as long as the call may go on."""
        monkeypatch.setattr(connection, "HALF_SENT_BYTES", 200_000)
        with Raw(address) as raw:
            streams = [raw.open() for _ in range(5)]
            for stream in streams:
                raw.say(stream, framed(bytes(60_000)))
                raw.read(0.02)
            assert raw.status(streams[3])[0][b"grpc-status"] == b"8"
            raw.say(streams[0], b"", end=True)
            assert raw.status(streams[0])[1] == framed(bytes(60_000))

    @pytest.mark.parametrize("ends", ["given up", "by its deadline"])
    def test_what_nobody_reads_of_a_call_costs_its_connection_nothing(self, monkeypatch, calls, address, ends):
        """Messages that wait when their stream ends: as much may be sent afterwards as before."""
        monkeypatch.setattr(connection, "CONNECTION_WINDOW", 1 << 20)
        with Raw(address) as raw:
            raw.read(0.1)
            before = raw.http.remote_window_size
            for _ in range(10):
                timeout = {"grpc_timeout": b"100m"} if ends == "by its deadline" else {}
                stream = raw.open(path=b"/test/Stuck", **timeout)
                raw.say(stream, framed(bytes(10_000)) * 20)
                if timeout:
                    raw.status(stream)
                else:
                    raw.read(0.02)
                    raw.http.reset_stream(stream)
                    raw.send()
            raw.read(0.5)
            assert raw.http.remote_window_size > before // 2
            assert raw.status(raw.call(b"x"))[1] == framed(b"x")

    def test_many_streams_that_are_not_read_are_bounded_together(self, monkeypatch, calls, address):
        """Their handlers wait when all of them have sent as much as one connection may leave unread."""
        monkeypatch.setattr(connection, "UNREAD_BYTES", 2 << 20)
        with Raw(address, takes=False) as raw:
            for _ in range(20):
                raw.call(b"", path=b"/test/Flood")
            raw.read(0.5)
            assert calls.sent * 100_000 < 6 << 20

    def test_who_reads_nothing_is_not_read(self, address):
        """Neither is what it sends: nothing of it has to be answered, and nothing is kept."""

        def flood(raw: Raw) -> None:
            unknown = ((b":path", b"/none"), *(each for each in RAW_HEADERS if each[0] != b":path"))
            while True:
                stream = raw.http.send_request(unknown)
                raw.send()
                raw.http.reset_stream(stream)
                raw.send()

        with Raw(address) as raw, Raw(address) as other:
            raw.socket.settimeout(0.5)
            with pytest.raises((OSError, ngh2.NGH2Error)):
                flood(raw)
            assert other.status(other.call(b"x"))[1] == framed(b"x")

    def test_more_calls_than_a_connection_may_have_wait_at_the_client(self, calls, address):
        """None of them is refused."""
        with grpc.insecure_channel(address) as channel:
            wait = channel.unary_unary("/test/Wait")
            futures = [wait.future(b"x", timeout=20) for _ in range(connection.CALLS_OF_ONE_CONNECTION + 50)]
            time.sleep(0.2)
            calls.let_go.set()
            assert all(each.result() == b"x" for each in futures)

    def test_a_silent_client_is_asked_whether_it_is_there(self, monkeypatch):
        """One that answers stays; one that does not is hung up on."""
        monkeypatch.setattr(connection, "IDLE_SECONDS", 0.2)
        monkeypatch.setattr(connection, "SIGN_SECONDS", 0.3)
        with serving(Calls()) as address, Raw(address) as alive, Raw(address) as silent:
            alive.read(1.5)
            assert not alive.closed
            silent.socket.settimeout(2)
            read = b""
            with suppress(ConnectionError):
                while data := silent.socket.recv(1 << 16):
                    read += data
            assert b"\x00\x00\x08\x06\x00" in read  # a ping


class TestStopping:
    """Clients are told, calls under way end, and nothing goes on."""

    def test_calls_under_way_are_finished(self, calls):
        """While further ones are not begun."""
        with _Stopping(calls, grace=5.0) as stopping, Raw(stopping.address) as raw:
            stream = raw.call(b"x", path=b"/test/Wait")
            time.sleep(0.1)
            stopping.stop()
            raw.until(lambda events: sum(isinstance(each, ngh2.GoAwayReceived) for each in events) >= 2)
            calls.let_go.set()
            assert raw.status(stream)[1] == framed(b"x")
            raw.until(lambda events: None in events, 5.0)
            assert raw.closed

    def test_calls_that_do_not_end_are_ended(self, calls):
        """With what the client can act on."""
        with _Stopping(calls, grace=0.2) as stopping, Raw(stopping.address) as raw:
            stream = raw.call(b"x", path=b"/test/Wait")
            time.sleep(0.1)
            stopping.stop()
            assert raw.status(stream)[0][b"grpc-status"] == b"14"
        assert calls.cancelled.wait(5)


class _Stopping:
    """A server that is told to stop while a test looks on."""

    def __init__(self, calls: Calls, grace: float) -> None:
        self._serving = serving(calls, grace=grace)
        self._stopper: threading.Thread | None = None

    def __enter__(self) -> _Stopping:
        self.address = self._serving.__enter__()
        return self

    def stop(self) -> None:
        self._stopper = threading.Thread(target=self._serving.__exit__, args=(None, None, None))
        self._stopper.start()

    def __exit__(self, *_error: object) -> None:
        assert self._stopper is not None
        self._stopper.join(20)


def _closed(count: int) -> Any:
    return lambda events: sum(isinstance(each, ngh2.StreamClosed) for each in events) >= count


def test_the_port_of_another_server_is_not_taken():
    """Unless both say that they share it."""
    assert listener.BACKLOG >= 128
    with serving(Calls()) as address, pytest.raises(Exception, match="cannot be bound"):
        listener._bound("127.0.0.1", int(address.rpartition(":")[2]), shared=False)


def test_a_request_that_does_not_come_is_given_up(monkeypatch, address):
    """A call without its request, and without a deadline, ends after a while; a stream may wait."""
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.2)
    with Raw(address) as raw:
        stream, half = raw.open(path=b"/test/Many"), raw.open()
        raw.say(half, framed(b"hello")[:4])
        assert raw.status(half)[0][b"grpc-status"] == b"14"
        raw.say(stream, framed(b"x"), end=True)
        assert raw.status(stream)[1] == framed(b"x")
