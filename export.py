"""`python export.py ...` is `trishift export ...`; see `python export.py --help`."""

import sys

from trishift.cli import main

if __name__ == "__main__":
    main(["export", *sys.argv[1:]])
