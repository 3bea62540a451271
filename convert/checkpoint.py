"""`python convert/checkpoint.py SRC DST ...` is `trishift convert`; see its `--help`."""

import sys

from trishift.cli import main

if __name__ == "__main__":
    main(["convert", *sys.argv[1:]])
