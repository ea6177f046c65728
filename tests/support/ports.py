"""Ports for servers that tests start."""

import random
import socket


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that is not in use, below the range of ephemeral ports."""
    while True:
        port = random.randrange(20_300, 32_000)
        with socket.socket(type=kind) as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
