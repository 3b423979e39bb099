"""``python search.py --budget 0.5``: search pruning policies from a checkout."""

import sys

if __name__ == "__main__":
    try:
        from search.cli import main

        sys.exit(main())
    except KeyboardInterrupt:  # in the seconds that imports take; later it is main's business
        print("interrupted", file=sys.stderr)
        sys.exit(130)
