"""What a supervisor and a worker say to each other, over a pair of sockets.

The supervisor sends connections, one a byte.  The worker says when it is ready, each time that a
connection closed, and when it is about to end: then the supervisor closes its direction, by which
the worker knows that it has got them all.  A channel that is closed both ways means a death.
"""

import socket
from typing import Final

READY: Final = b"r"
CLOSED: Final = b"c"
LEAVING: Final = b"l"

_CONNECTION: Final = b"x"
_REPORTS_MAX: Final = 4096


class Gone(Exception):
    """The other side has no more to say, or died."""


def send_connection(channel: socket.socket, connection: socket.socket) -> None:
    """Give a connection away; the sender still has to close its own copy.

    Raises:
        Gone: nobody is there to take it.
        TimeoutError: the channel is full and the worker takes nothing out.
    """
    try:
        socket.send_fds(channel, [_CONNECTION], [connection.fileno()])
    except ConnectionError as error:
        raise Gone from error


def receive_connection(channel: socket.socket) -> socket.socket:
    """The next connection from a channel that does not block.

    Raises:
        Gone: the supervisor is.
        BlockingIOError: there is none just now.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    except ConnectionError as error:
        raise Gone from error
    if not data:
        raise Gone
    return socket.socket(fileno=descriptors[0])


def receive_reports(channel: socket.socket) -> bytes:
    """What the worker said since, as bytes of `READY`, `CLOSED` and `LEAVING`.

    Raises:
        Gone: the worker is.
    """
    try:
        reports = channel.recv(_REPORTS_MAX)
    except ConnectionError as error:
        raise Gone from error
    if not reports:
        raise Gone
    return reports
