"""A gRPC server for the tests of gRPC calls: no generated code, messages are bytes.

    grpc_server.py [CERTIFICATE KEY]

Says `port N` on stdout, then a line for each thing that happens. It ends when stdin does.
"""

import sys
import threading
from concurrent import futures

import grpc

lock = threading.Lock()


def say(text):
    with lock:
        print(text, flush=True)


def metadata_of(context):
    return {key: value for key, value in context.invocation_metadata()}


def begin(method, context):
    """Tells of a call, and answers its x- metadata with the same as initial metadata; some always trails."""
    metadata = metadata_of(context)
    own = sorted((key, value) for key, value in metadata.items() if key.startswith("x-"))
    shown = ",".join(f"{key}={value.hex() if isinstance(value, bytes) else value}" for key, value in own)
    say(f"{method} begins {shown}")
    context.add_callback(lambda: say(f"{method} ends active={context.is_active()}"))
    if own:
        context.send_initial_metadata(own)
    context.set_trailing_metadata([("x-trailing", method), ("x-trailing-bin", b"\x00\xff")])
    return metadata


def unary(request, context):
    begin("Unary", context)
    return request


def error(request, context):
    metadata = begin("Error", context)
    code = next(code for code in grpc.StatusCode if code.value[0] == int(metadata["x-code"]))
    context.abort(code, request.decode())


def big(request, context):
    begin("Big", context)
    return b"b" * int(request)


def size(request, context):
    begin("Size", context)
    return str(len(request)).encode()


def deadline(request, context):
    begin("Deadline", context)
    left = context.time_remaining()
    return b"none" if left is None or left > 1e6 else f"{left:.3f}".encode()


def wait(context):
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait()


def slow(request, context):
    begin("Slow", context)
    wait(context)
    return b"late"


def server_stream(request, context):
    begin("Server", context)
    for number in range(1, int(request) + 1):
        yield str(number).encode()


def server_fails(request, context):
    begin("ServerFails", context)
    yield b"one"
    context.abort(grpc.StatusCode.DATA_LOSS, "after one")


def half(request, context):
    """A message, then nothing until the other side has enough."""
    begin("Half", context)
    yield b"one"
    wait(context)


def client_stream(requests, context):
    begin("Client", context)
    return b"+".join(requests)


def bidi(requests, context):
    begin("Bidi", context)
    for request in requests:
        say(f"Bidi takes {request.decode()}")
        yield b"echo " + request
    say("Bidi has all")


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Error": grpc.unary_unary_rpc_method_handler(error),
    "Big": grpc.unary_unary_rpc_method_handler(big),
    "Size": grpc.unary_unary_rpc_method_handler(size),
    "Deadline": grpc.unary_unary_rpc_method_handler(deadline),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
    "Server": grpc.unary_stream_rpc_method_handler(server_stream),
    "ServerFails": grpc.unary_stream_rpc_method_handler(server_fails),
    "Half": grpc.unary_stream_rpc_method_handler(half),
    "Client": grpc.stream_unary_rpc_method_handler(client_stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
}


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        prefix = "/wasmx.test.Echo/"
        return METHODS.get(details.method.removeprefix(prefix)) if details.method.startswith(prefix) else None


def main():
    options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), handlers=[Handler()], options=options)
    if len(sys.argv) > 2:
        certificate, key = (open(path, "rb").read() for path in sys.argv[1:3])
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    say(f"port {port}")
    sys.stdin.buffer.read()
    server.stop(None)


main()
