"""`python infer.py ...` is `trishift infer ...`; see `python infer.py --help`."""

import sys

from trishift.cli import main

if __name__ == "__main__":
    main(["infer", *sys.argv[1:]])
