"""A chat server on loopback that answers as a test tells it to, and counts what it is asked."""

import collections
import contextlib
import http.server
import json
import socket
import threading
import time


class Stub:
    """`script` maps the text asked about, and how often it was asked before, to a reply.

    A reply is a string (the model's words), a (status, headers, body) triple, "hang" as a number of
    seconds, or b"..." for a raw body.
    """

    def __init__(self, script):
        self.script = script
        self.asked = collections.Counter()
        self.times = []
        self.headers = []
        self.most = self._now = 0
        self._lock = threading.Lock()

    def reply(self, body, headers):
        asked = body["messages"][-1]["content"]
        with self._lock:
            before = self.asked[asked]
            self.asked[asked] += 1
            self.times.append(time.monotonic())
            self.headers.append(dict(headers))
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            said = self.script(asked, before)
            if isinstance(said, float):
                time.sleep(said)
                said = "late"
        finally:
            with self._lock:
                self._now -= 1
        if isinstance(said, str):
            choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 10, "completion_tokens": 5}
            return 200, {}, json.dumps({"choices": [choice], "usage": usage}).encode()
        return (200, {}, said) if isinstance(said, bytes) else said


@contextlib.contextmanager
def serve(script):
    """Yields the stub and its address."""
    stub = Stub(script)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, said = stub.reply(body, self.headers)
            with contextlib.suppress(ConnectionError):  # the client may have gone
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", headers.get("Content-Length", str(len(said))))
                self.end_headers()
                self.wfile.write(said)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield stub, f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def trickle():
    """Yields the address of a server that sends a byte of a reply ten times a second, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            with client:
                client.recv(1 << 16)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while True:
                    client.sendall(b" ")
                    time.sleep(0.1)

    threading.Thread(target=answer, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        listener.close()
