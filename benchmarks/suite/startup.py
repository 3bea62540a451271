"""Starting: importing the package, its command line, and the first prediction of a program that is kept.

The first prediction covers everything from the start of Python: reading and hashing the weights, opening the program
and running it, against the import of the runtime alone.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.interleaved import compared, measure
from benchmarks.options import Options
from benchmarks.rows import Row

RUNTIMES = ("onnxruntime", "openvino")
TARGET = 2.0
FIRST = """
import numpy, trishift
model = trishift.load({path!r}, runtime={runtime!r}, strict=True)
model(numpy.zeros((1, {segments}, 3, {size}, {size}), numpy.float32))
"""


def rows(options: Options) -> Iterator[Row]:
    """Imports against numpy's, and first predictions against the import of their runtime."""
    calls = {
        "numpy": partial(python, "-c", "import numpy"),
        "trishift": partial(python, "-c", "import trishift"),
        "version": partial(python, "-m", "trishift", "--version"),
    }
    times = measure(calls, options.rounds)
    yield compared("import trishift, against importing numpy", times, "trishift", "numpy")
    yield compared("trishift --version, against importing numpy", times, "version", "numpy")
    for runtime in () if options.quick else RUNTIMES:
        path = str(options.checkpoint())
        code = FIRST.format(path=path, runtime=runtime, segments=options.spec.num_segments, size=options.size)
        calls = {"first": partial(python, "-c", code), "import": partial(python, "-c", f"import {runtime}")}
        times = measure(calls, options.rounds)
        name = f"first prediction of a kept program in {runtime}, against importing the runtime"
        yield compared(name, times, "first", "import", TARGET)


def python(*arguments: str) -> None:
    """Run Python once."""
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
