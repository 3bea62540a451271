"""ImageNet ResNet-50 to any framework: `python convert/resnet50.py SRC DST --framework F [--verify]`."""

import sys
from functools import partial

from trishift.cli import run
from trishift.commands.convert import main

if __name__ == "__main__":
    sys.exit(run("convert", partial(main, backbone="resnet50"), sys.argv[1:]))
