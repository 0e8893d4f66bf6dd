"""Where the hosts of one run meet."""

import socket

from webapp.env import env_str
from webapp.fleet.processes import this_machine


def meeting_point() -> str:
    """``address:port`` of this host for the hosts of one attempt.

    The address is ``KUMITE_ADDRESS``, or the host's name, which the other hosts must be able to resolve; the port is the first
    free one of ``KUMITE_RENDEZVOUS_PORTS`` (``29400-29499``).
    """
    first, _, last = env_str("KUMITE_RENDEZVOUS_PORTS", "29400-29499").partition("-")
    for port in range(int(first), int(last or first) + 1):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return f"{env_str('KUMITE_ADDRESS', this_machine().host)}:{port}"
    raise OSError(f"no free port among {first}-{last or first} (KUMITE_RENDEZVOUS_PORTS)")
