"""ImageNet BNInception to any framework: `python convert/bn_inception.py SRC DST --framework F [--verify]`."""

import sys
from functools import partial

from trishift.cli import run
from trishift.commands.convert import main

if __name__ == "__main__":
    sys.exit(run("convert", partial(main, backbone="bn_inception"), sys.argv[1:]))
