"""Logs many accounts in at once, for benches/rush.lua: rush_client.py PORT HOST ACCOUNTS CONNECTIONS HELD PASSWORD

Accounts are u1, u2, …: each a new plaintext connection, SASL PLAIN, and a resource, as after a restart. Up to CONNECTIONS
are under way at a time, and up to HELD stay connected until all are in; of those that are in, the oldest goes then.
Prints: logins, seconds until all were in, median and longest time of one login in milliseconds, and what went wrong.
"""

import base64
import collections
import selectors
import socket
import sys
import time

port, host, accounts, connections, held_limit = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
password = sys.argv[6]
patience = 60

header = (f"<?xml version='1.0'?><stream:stream to='{host}' version='1.0' xmlns='jabber:client' "
          "xmlns:stream='http://etherx.jabber.org/streams'>").encode()
bind = b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"

selector = selectors.DefaultSelector()
held = collections.deque()
times = []
trouble = ""
started = under_way = 0


class Login:
    def __init__(self, number):
        self.number = number
        self.began = time.monotonic()
        self.text = b""
        self.step = 0
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(patience)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(header)
        self.socket.setblocking(False)
        selector.register(self.socket, selectors.EVENT_READ, self)

    def credentials(self):
        name = f"u{self.number}"
        return base64.b64encode(f"\0{name}\0{password}".encode())

    def read(self):
        """True when it is done."""
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return False
        if not data:
            raise ConnectionError(f"the server closed the connection of u{self.number}: {self.text[-300:]!r}")
        self.text += data
        if b"<failure" in self.text or b"type='error'" in self.text:
            raise ConnectionError(f"u{self.number} was refused: {self.text[-300:]!r}")
        if self.step == 0 and b"</stream:features>" in self.text:
            self.next(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + self.credentials() + b"</auth>")
        elif self.step == 1 and b"<success" in self.text:
            self.next(header)
        elif self.step == 2 and b"</stream:features>" in self.text:
            self.next(bind)
        elif self.step == 3 and b"</iq>" in self.text:
            return True
        return False

    def next(self, data):
        self.step += 1
        self.text = b""
        self.socket.sendall(data)


began = time.monotonic()
try:
    while len(times) < accounts:
        while started < accounts and under_way < connections:
            started += 1
            under_way += 1
            Login(started)
        ready = selector.select(patience)
        if not ready:
            raise ConnectionError(f"no answer within {patience} seconds")
        for key, _ in ready:
            login = key.data
            if login.read():
                times.append(time.monotonic() - login.began)
                under_way -= 1
                selector.unregister(login.socket)
                held.append(login.socket)
                if len(held) > held_limit:
                    held.popleft().close()
except OSError as error:
    trouble = str(error).replace("\n", " ").replace("\t", " ")
seconds = time.monotonic() - began
times.sort()
median = times[len(times) // 2] if times else 0
longest = times[-1] if times else 0
print(len(times), f"{seconds:.3f}", f"{median * 1000:.1f}", f"{longest * 1000:.1f}", trouble, sep="\t")
