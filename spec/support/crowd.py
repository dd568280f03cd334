"""Many connections to a port at the same time: crowd.py PORT COUNT FILE

Each sends the content of FILE and stays open. When all are answered, closed, or nothing has happened for some seconds, one line of JSON
says how they were answered, and they are held until this process gets a signal.
"""

import json
import resource
import selectors
import signal
import socket
import sys
import time

QUIET = 15.0
AT_ONCE = 200


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    with open(sys.argv[3], "rb") as file:
        request = file.read()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    selector = selectors.DefaultSelector()
    connections, answers, waiting, opened = [], {}, 0, 0
    began = last = time.monotonic()
    if not request:
        for _ in range(count):
            connections.append(socket.create_connection(("127.0.0.1", port), 30))
        opened = count
    while opened < count or waiting:
        while opened < count and waiting < AT_ONCE:
            opened += 1
            conn = socket.create_connection(("127.0.0.1", port), 30)
            conn.sendall(request)
            conn.setblocking(False)
            selector.register(conn, selectors.EVENT_READ)
            connections.append(conn)
            waiting += 1
        for key, _ in selector.select(1):
            try:
                got = key.fileobj.recv(65536)
            except OSError:
                got = b""
            status = got[9:12].decode() if got.startswith(b"HTTP/1.") else "closed"
            answers[status] = answers.get(status, 0) + 1
            selector.unregister(key.fileobj)
            waiting -= 1
            last = time.monotonic()
        if time.monotonic() - last > QUIET:
            answers["none"] = waiting
            break
    print(json.dumps({"opened": opened, "answers": answers, "seconds": round(time.monotonic() - began, 1)}), flush=True)
    signal.pause()


main()
