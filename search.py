"""``python search.py --budget 0.5``: search pruning policies from a checkout."""

import sys

from pruning_search import main

if __name__ == "__main__":
    sys.exit(main())
