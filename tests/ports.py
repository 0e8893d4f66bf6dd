"""Ports for servers that tests start as separate programs."""

import itertools
import os
import socket

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
# Below the range from which the kernel gives ports to outgoing connections, so that nobody takes one in between.
_PORTS = itertools.count(20_000 + 500 * (_WORKER % 16) + os.getpid() % 400)


def free_port() -> int:
    """A port on which nothing listens, and which no other test of this invocation is given."""
    for port in _PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError
