"""`python train.py ...` is `trishift train ...`; see `python train.py --help`."""

import sys

from trishift.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
