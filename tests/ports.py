"""Ports for servers that tests start a moment later."""

import contextlib
import random
import socket

OURS = range(20000, 32000)  # the system gives these to nobody by itself


def free_port(address: str = "127.0.0.1") -> int:
    """A port of an address that nobody has now, over TCP or UDP; raises `OSError` where it is not ours."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in random.sample(OURS, 20):
        with contextlib.suppress(OSError), socket.socket(family) as tcp:
            tcp.bind((address, port))
            with socket.socket(family, socket.SOCK_DGRAM) as udp:
                udp.bind((address, port))
                return port
    raise OSError(f"there is no free port at {address}")
