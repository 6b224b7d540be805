"""Small servers for tests that ask what a server does: each answers every connection the same way, in a thread."""

from __future__ import annotations

import random
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

CONFIG = (
    b'{"schemas":["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],'
    b'"authenticationSchemes":[],"patch":{"supported":true}}'
)


def http(status: int, body: bytes = b"", *, media_type: str = "application/scim+json", location: str = "") -> bytes:
    """An answer as bytes."""
    more = f"Location: {location}\r\n" if location else ""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {media_type}\r\n{more}Content-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


@contextmanager
def listener(
    answer: Callable[[str], bytes], *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[int]:
    """Answer each request by its target, on a free port (given); empty bytes close the connection."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.bind((host, 0))
    server.listen()

    def serve() -> None:
        while True:
            try:
                plain, _ = server.accept()
            except OSError:
                return
            with plain, suppress(OSError):
                plain.settimeout(10)
                if tls is None:
                    answer_one(plain)
                else:
                    with tls.wrap_socket(plain, server_side=True) as wrapped:
                        answer_one(wrapped)

    def answer_one(connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65_536)
            if not more:
                return
            data += more
            if data[:1] == b"\x16":  # a TLS client at a plain port
                break
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
        left = int(length[1]) - len(body) if length else 0
        while left > 0:  # closing with something unread is a reset, which may take the answer with it
            left -= len(connection.recv(left)) or left
        line = data.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        connection.sendall(answer(line[1] if len(line) > 1 else ""))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def free_port() -> int:
    """Return a port that nothing listens on, and that no connection of another test is given in the meantime."""
    while True:
        port = random.randrange(20_000, 32_000)  # below those that systems take by themselves
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
