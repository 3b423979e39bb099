"""The command ``pruning-search``, which hears a Ctrl-C also in the seconds that imports take."""

import sys


def main() -> int:
    """Run the command line, see `search.cli.main`; returns its exit code."""
    try:
        from search.cli import main

        return main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
