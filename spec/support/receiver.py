"""Receivers of sinks for the tests: what they got is a line each in a file.

receiver.py stream --port N --out FILE [--certificate FILE --key FILE] [--clients FILE] [--newline]
receiver.py udp --port N --out FILE
receiver.py unix --path PATH --out FILE
receiver.py http --port N --out FILE [--certificate FILE --key FILE] [--clients FILE] [--otlp] [--secret TEXT]

With --clients, who connects must have a certificate of that authority.
Over HTTP, requests to /_bulk are answered as Elasticsearch answers them, and those to /loki/api/v1/push as Loki does. With --secret,
requests without a signature by it (Standard Webhooks) are refused.

What a receiver does wrong is in the file FILE.mood, which is read again each time:
  stream   "slow": reads one byte a second; "deaf": reads nothing; "dies N": ends without a word after N more messages
  http     "STATUS [Retry-After]", "400 if WORD": refuses bodies with that word; "hangs": never answers; "redirects"; "leaves": answers once
           on a connection, and closes it without a word when it is used again; "says close": "Connection: close"
"""

import argparse
import base64
import gzip
import hashlib
import hmac
import json
import os
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("kind")
parser.add_argument("--port", type=int)
parser.add_argument("--path")
parser.add_argument("--out", required=True)
parser.add_argument("--certificate")
parser.add_argument("--key")
parser.add_argument("--clients")
parser.add_argument("--newline", action="store_true")
parser.add_argument("--otlp", action="store_true")
parser.add_argument("--secret")
options = parser.parse_args()

out = open(options.out, "a", encoding="utf-8")
lock = threading.Lock()
left = None
stored = set()


def mood():
    try:
        with open(options.out + ".mood", encoding="utf-8") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def got(messages):
    global left
    with lock:
        words = mood().split()
        for message in messages:
            if words[:1] == ["dies"]:
                left = int(words[1]) if left is None else left
                if left == 0:
                    out.flush()
                    os._exit(1)
                left -= 1
            out.write(message.rstrip("\n") + "\n")
        out.flush()


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(options.certificate, options.key)
    if options.clients:
        made.load_verify_locations(options.clients)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def messages_of(buffer):
    """The whole messages at the beginning of a buffer, and the rest."""
    found = []
    while True:
        if options.newline:
            line, end, rest = buffer.partition(b"\n")
            if not end:
                return found, buffer
            found.append(line.decode())
            buffer = rest
        else:
            length, end, rest = buffer.partition(b" ")
            if not end or len(rest) < int(length):
                return found, buffer
            found.append(rest[: int(length)].decode())
            buffer = rest[int(length):]


def serve_stream(conn):
    try:
        if options.certificate:
            conn = context().wrap_socket(conn, server_side=True)
        buffer = b""
        while True:
            while mood() == "deaf":
                time.sleep(0.05)
            slow = mood() == "slow"
            data = conn.recv(1 if slow else 65536)
            if slow:
                time.sleep(1)
            if not data:
                return
            found, buffer = messages_of(buffer + data)
            got(found)
    except OSError:
        pass
    finally:
        conn.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.answered = 0
        with open(options.out + ".connections", "a", encoding="utf-8") as file:
            print(self.client_address[1], file=file)

    def do_POST(self):
        if mood() == "leaves" and self.answered > 0:
            self.close_connection = True
            return
        self.answered += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_signed = options.secret is None or is_signed_by(options.secret, body, self.headers)
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        body = body.decode()
        words = mood().split()
        status, headers, answer = 200, {}, ""
        if not is_signed:
            status = 401
        elif self.path == "/_bulk":
            answer = json.dumps(bulk(body, words))
        elif words[:1] == ["hangs"]:
            time.sleep(3600)
        elif words[:1] == ["redirects"]:
            status, headers = 307, {"Location": self.path}
        elif words[1:2] == ["if"]:
            status = int(words[0]) if words[2] in body else 200
        elif words and words[0].isdigit():
            status = int(words[0])
            headers = {"Retry-After": words[1]} if len(words) > 1 else {}
        if status == 200 and not answer:
            try:
                got(pushed(body) if self.path == "/loki/api/v1/push" else lines_of(body))
            except Exception as error:  # What does not follow the definitions is refused.
                print(error, file=sys.stderr, flush=True)
                status = 422
        with open(options.out + ".requests", "a", encoding="utf-8") as file:
            print(status, file=file)
        if words == ["says", "close"]:
            headers["Connection"] = "close"
        for name in ("authorization", "x-test", "content-type"):
            if self.headers[name]:
                headers["X-Got-" + name] = self.headers[name]
        with open(options.out + ".headers", "w", encoding="utf-8") as file:
            json.dump({name.lower(): value for name, value in self.headers.items()}, file)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_):
        pass


def is_signed_by(secret, body, headers):
    """Whether the signature is that of the specification Standard Webhooks, and not older than five minutes."""
    identity, time_sent, signature = (headers["webhook-" + name] or "" for name in ("id", "timestamp", "signature"))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = hmac.new(key, f"{identity}.{time_sent}.".encode() + body, hashlib.sha256).digest()
    is_fresh = time_sent.isdigit() and abs(time.time() - int(time_sent)) < 300
    return is_fresh and hmac.compare_digest(signature, "v1," + base64.b64encode(expected).decode())


def bulk(body, words):
    """Stores what is not there yet. Of what has the word of "400 if WORD" it says that it is wrong, and of the rest "429 after N" that there
    are too many."""
    assert body.endswith("\n")
    lines = body.splitlines()
    items, taken = [], []
    for action, entry in zip(lines[::2], lines[1::2], strict=True):
        identity = json.loads(action)["create"].get("_id")
        json.loads(entry)["@timestamp"]
        if words[:2] == ["400", "if"] and words[2] in entry:
            status = 400
        elif words[:2] == ["429", "after"] and len(taken) >= int(words[2]):
            status = 429
        elif identity in stored:
            status = 409
        else:
            status = 201
            taken.append(entry)
            if identity:
                stored.add(identity)
        items.append({"create": {"_id": identity, "status": status}})
    got(taken)
    return {"took": 1, "errors": any(item["create"]["status"] > 299 for item in items), "items": items}


def pushed(body):
    found = []
    for stream in json.loads(body)["streams"]:
        assert stream["stream"]["job"] == "prosody-audit" and stream["stream"]["host"]
        for at, line in stream["values"]:
            assert len(at) == 19 and at.isdigit() and abs(int(at) / 1e9 - time.time()) < 3600, at
            found.append(line)
    return found


def lines_of(body):
    if options.otlp:
        from google.protobuf import json_format
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

        request = json_format.Parse(body, ExportLogsServiceRequest())
        found = []
        for resource in request.resource_logs:
            host = {a.key: a.value.string_value for a in resource.resource.attributes}["host.name"]
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    entry = {a.key: a.value.string_value for a in record.attributes}
                    entry.update(host=host, time=record.time_unix_nano, severity=record.severity_text, body=record.body.string_value)
                    found.append(json.dumps(entry))
        return found
    if body.startswith("["):
        return [json.dumps(entry) for entry in json.loads(body)]
    for line in body.splitlines():
        if line.startswith("{"):
            json.loads(line)
    return body.splitlines()


def main():
    if options.kind == "stream":
        server = socket.create_server(("127.0.0.1", options.port))
        print("ready", flush=True)
        while True:
            conn, _ = server.accept()
            threading.Thread(target=serve_stream, args=(conn,), daemon=True).start()
    elif options.kind in ("udp", "unix"):
        is_udp = options.kind == "udp"
        server = socket.socket(socket.AF_INET if is_udp else socket.AF_UNIX, socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        if not is_udp and os.path.exists(options.path):
            os.unlink(options.path)
        server.bind(("127.0.0.1", options.port) if is_udp else options.path)
        print("ready", flush=True)
        while True:
            got([server.recv(1 << 20).decode()])
    else:
        server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
        if options.certificate:
            server.socket = context().wrap_socket(server.socket, server_side=True)
        print("ready", flush=True)
        server.serve_forever()


main()
