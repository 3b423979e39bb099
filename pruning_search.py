"""The command ``pruning-search``: it ends quietly also in the seconds that imports take."""

from __future__ import annotations

import os
import signal
import sys

ENDING = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def main() -> int:
    """Run the command line; returns the exit code, see `search.cli.main`."""
    # While packages are imported nothing is to be saved, and an exception in the middle of one
    # comes out as any other, or is only printed. So the process ends at once, without one.
    before = {number: signal.getsignal(number) for number in ENDING}
    heard = [number for number in ENDING if before[number] != signal.SIG_IGN]
    for number in heard:
        signal.signal(number, _end)
    from search.cli import main

    try:
        for number in heard:
            signal.signal(number, before[number])
        return main()
    except KeyboardInterrupt:  # in the moment before it is main's business
        return _told(signal.SIGINT)


def _end(number: int, _frame: object) -> None:
    os._exit(_told(number))


def _told(number: int) -> int:
    print(ENDING[signal.Signals(number)], file=sys.stderr, flush=True)
    return 128 + number
