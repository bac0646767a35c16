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
    seconds, b"..." for a raw body, or None to hang up.
    """

    def __init__(self, script):
        self.script = script
        self.asked = collections.Counter()
        self.answered = collections.Counter()  # with a model's words, in time
        self.bodies = []
        self.times = []
        self.headers = []
        self.most = self._now = 0
        self._lock = threading.Lock()

    def reply(self, body, headers):
        asked = question(body["messages"])
        with self._lock:
            before = self.asked[asked]
            self.asked[asked] += 1
            self.bodies.append(body)
            self.times.append(time.monotonic())
            self.headers.append(dict(headers))
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            said = self.script(asked, before)
            late = isinstance(said, float)
            if late:
                time.sleep(said)
                said = "late"
        finally:
            with self._lock:
                self._now -= 1
        if isinstance(said, str):
            with self._lock:
                self.answered[asked] += not late
            choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 10, "completion_tokens": 5}
            return 200, {}, json.dumps({"choices": [choice], "usage": usage}).encode()
        return (200, {}, said) if isinstance(said, bytes) else said


def question(messages):
    """What a request asks: its last text, or all of it where there are pictures."""
    if all(isinstance(message["content"], str) for message in messages):
        return messages[-1]["content"]
    return json.dumps(messages, sort_keys=True)


@contextlib.contextmanager
def serve(script, port=0, stub=None):
    """Yields the stub and its address. A stub that is handed on goes on counting."""
    stub = stub or Stub(script)
    stub.script = script

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = stub.reply(body, self.headers)
            if reply is None:
                self.close_connection = True
                return
            status, headers, said = reply
            with contextlib.suppress(ConnectionError):  # the client may have gone
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", headers.get("Content-Length", str(len(said))))
                self.end_headers()
                self.wfile.write(said)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
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
