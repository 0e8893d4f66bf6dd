"""Which network interface leads to another host."""

import array
import fcntl
import socket
import struct

_SIOCGIFADDR = 0x8915


def interface_towards(endpoint: str) -> str | None:
    """Name of the interface whose IPv4 address this host uses to reach ``HOST:PORT``; None where that cannot be told."""
    host, _, port = endpoint.rpartition(":")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, int(port)))  # sends nothing: it only looks up the route
            wanted = probe.getsockname()[0]
            names = [name for _, name in socket.if_nameindex()]
            return next((name for name in names if _address(probe, name) == wanted), None)
    except OSError:
        return None


def _address(probe: socket.socket, interface: str) -> str | None:
    request = array.array("B", struct.pack("256s", interface.encode()[:15]))
    try:
        fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
    except OSError:
        return None
    return socket.inet_ntoa(request.tobytes()[20:24])
