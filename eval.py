"""`python eval.py ...` is `trishift eval ...`; see `python eval.py --help`."""

import sys

from trishift.cli import main

if __name__ == "__main__":
    main(["eval", *sys.argv[1:]])
