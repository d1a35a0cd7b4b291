"""grpcio as the client of the Swift server under test. Usage: grpcio_client.py PORT. Prints one line per case."""

import sys
import threading
import time
import traceback

import grpc

PORT = int(sys.argv[1])
CASES = []


def case(function):
    CASES.append(function)
    return function


def unary(channel, method):
    return channel.unary_unary("/test.Test/" + method)


def expect_status(code, call):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, f"expected {code}, got {error.code()}: {error.details()}"
        return error
    raise AssertionError(f"expected {code}, but the call succeeded")


@case
def empty_unary(channel):
    assert unary(channel, "Echo")(b"", timeout=10) == b""


@case
def large_unary(channel):
    message = bytes(range(256)) * 4096 * 3
    assert unary(channel, "Echo")(message, timeout=10) == message


@case
def client_streaming(channel):
    call = channel.stream_unary("/test.Test/Sum")
    assert call(iter([b"x" * size for size in (27182, 8, 1828, 45904)]), timeout=10) == b"74922"
    assert call(iter([]), timeout=10) == b"0"


@case
def server_streaming(channel):
    call = channel.unary_stream("/test.Test/Count")
    assert list(call(b"1000", timeout=10)) == [str(number).encode() for number in range(1000)]


@case
def ping_pong(channel):
    queue = threading.Semaphore(0)

    def requests():
        for number in range(100):
            queue.acquire()
            yield b"x" * (number * 997)

    queue.release()
    sizes = []
    for answer in channel.stream_stream("/test.Test/PingPong")(requests(), timeout=10):
        sizes.append(len(answer))
        queue.release()
    assert sizes == [number * 997 for number in range(100)]


@case
def empty_stream(channel):
    assert list(channel.stream_stream("/test.Test/PingPong")(iter([]), timeout=10)) == []


@case
def custom_metadata(channel):
    metadata = (("echo", "test_initial_metadata_value"), ("echo-bin", b"\xab\xab\xab\x00\xff"))
    answer, call = unary(channel, "Echo").with_call(b"hello", metadata=metadata, timeout=10)
    assert answer == b"hello"
    assert ("echo", "test_initial_metadata_value") in call.initial_metadata()
    assert ("echo-bin", b"\xab\xab\xab\x00\xff") in call.trailing_metadata()


@case
def status_code_and_message(channel):
    error = expect_status(grpc.StatusCode.UNKNOWN, lambda: unary(channel, "Fail")(b"2 test status message", timeout=10))
    assert error.details() == "test status message"
    assert ("reason", "asked") in error.trailing_metadata()


@case
def special_status_message(channel):
    text = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
    error = expect_status(grpc.StatusCode.UNKNOWN, lambda: unary(channel, "Fail")(b"2 " + text.encode(), timeout=10))
    assert error.details() == text, repr(error.details())


@case
def unimplemented_method(channel):
    expect_status(grpc.StatusCode.UNIMPLEMENTED, lambda: unary(channel, "NoSuchMethod")(b"", timeout=10))


@case
def unimplemented_service(channel):
    call = channel.unary_unary("/no.Such/Service")
    expect_status(grpc.StatusCode.UNIMPLEMENTED, lambda: call(b"", timeout=10))


@case
def cancel_after_begin(channel):
    def requests():
        time.sleep(30)
        yield b""

    call = channel.stream_unary("/test.Test/Sum").future(requests())
    call.cancel()
    assert call.code() == grpc.StatusCode.CANCELLED


@case
def cancel_after_first_response(channel):
    done = threading.Event()

    def requests():
        yield b"x"
        done.wait(30)

    call = channel.stream_stream("/test.Test/PingPong")(requests())
    assert next(call) == b"x"
    call.cancel()
    done.set()
    assert call.code() == grpc.StatusCode.CANCELLED


@case
def timeout_on_sleeping_server(channel):
    begin = time.monotonic()
    expect_status(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: unary(channel, "Hang")(b"", timeout=0.2))
    assert time.monotonic() - begin < 5


@case
def concurrent_large_unary(channel):
    message = b"y" * 500_000
    futures = [unary(channel, "Echo").future(message, timeout=30) for _ in range(20)]
    assert all(future.result() == message for future in futures)


@case
def oversize(channel):
    expect_status(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: unary(channel, "Echo")(b"z" * 5_000_000, timeout=10))
    assert unary(channel, "Echo")(b"still here", timeout=10) == b"still here"


def run():
    failures = 0
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    for function in CASES:
        with grpc.insecure_channel(f"127.0.0.1:{PORT}", options=options) as channel:
            try:
                function(channel)
                print("ok", function.__name__, flush=True)
            except Exception:
                failures += 1
                print("FAILED", function.__name__, traceback.format_exc(), flush=True)
    return failures


sys.exit(1 if run() else 0)
