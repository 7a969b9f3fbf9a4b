r"""Printing that no text, encoding or reader that went away can break.

What is printed comes from files, models and other people's errors as well: control characters are
spelled out (``\x1b``), signs that the terminal's encoding lacks too, and a closed pipe or standard
output ends no verb: work and exit code do not depend on who reads along.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from typing import TextIO

from smc_bench.names import visible


def echo(text: object = "", *, err: bool = False) -> None:
    """Print a line on standard output, or on standard error."""
    emit(visible(str(text)) + "\n", err=err)


def say(text: str) -> None:
    """A message on standard error."""
    echo(text, err=True)


def emit(text: str, *, err: bool = False) -> None:
    """Print text that is already safe, as it is.

    Raises:
        OSError: It can't be written for another reason than that nobody reads it (a full disk).
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None or stream.closed:
        return
    try:
        stream.write(_encodable(text, stream))
        stream.flush()
    except OSError as error:
        _silence(stream)
        if error.errno not in (errno.EPIPE, errno.EBADF, errno.ESHUTDOWN):
            raise


class LogHandler(logging.Handler):
    """Prints what the library logs, on standard error.

    Attributes:
        before: Called first: a display that is drawn in place makes room.
    """

    before: Callable[[], None] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        if self.before is not None:
            self.before()
        echo(self.format(record), err=True)


LOG = LogHandler()


def ready() -> None:
    """Give closed standard streams a place, or the first file opened would take theirs."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            break
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def _silence(stream: TextIO) -> None:
    """Send what else comes nowhere; Python would fail again when it flushes at the end."""
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
    except (OSError, ValueError):
        return
