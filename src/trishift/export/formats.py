"""Deployment formats: the frameworks that write each one, the runtimes that run it, and its file suffix."""

from __future__ import annotations

from dataclasses import dataclass

from trishift.errors import FrameworkError


@dataclass(frozen=True)
class Format:
    """A deployment format.

    Attributes:
        name: value of `--format`.
        title: display name.
        suffix: file or folder suffix.
        writers: frameworks that write it, the default first.
        runtimes: runtimes that open it, the default first.
        packages: additional packages required for writing.
        folder: whether it consists of several files in a folder.
        lossy: whether it differs from the checkpoint by design (8-bit arithmetic), so that no tolerance applies.
    """

    name: str
    title: str
    suffix: str
    writers: tuple[str, ...]
    runtimes: tuple[str, ...]
    packages: tuple[str, ...] = ()
    folder: bool = False
    lossy: bool = False

    def choose_writer(self, framework: str | None) -> str:
        """The requested framework, or the default.

        Raises:
            FrameworkError: the framework does not write this format.
        """
        if framework not in (None, *self.writers):
            raise FrameworkError(f"{self.title} is written by {' or '.join(self.writers)}, not by {framework}")
        return framework or self.writers[0]

    def choose_runtime(self, runtime: str | None) -> str:
        """The requested runtime, or the default.

        Raises:
            FrameworkError: the runtime does not open this format.
        """
        if runtime not in (None, *self.runtimes):
            raise FrameworkError(f"{self.title} files are opened by {' or '.join(self.runtimes)}, not by {runtime}")
        return runtime or self.runtimes[0]


_ONNX = ("onnx", "onnxscript")
FORMATS = {
    entry.name: entry
    for entry in (
        Format("onnx", "ONNX", ".onnx", ("pytorch", "mindspore"), ("onnxruntime", "openvino"), _ONNX),
        Format("mindir", "MINDIR", ".mindir", ("mindspore",), ("mindspore",)),
        Format("paddle", "Paddle Inference", ".paddle", ("paddle",), ("paddle",), folder=True),
        Format("torch", "torch.export", ".pt2", ("pytorch",), ("pytorch",)),
        Format(
            "openvino-int8",
            "OpenVINO INT8",
            ".openvino-int8",
            ("pytorch",),
            ("openvino",),
            (*_ONNX, "nncf"),
            folder=True,
            lossy=True,
        ),
    )
}
RUNTIMES = tuple(dict.fromkeys(runtime for entry in FORMATS.values() for runtime in entry.runtimes))
ALIASES = {"paddle-inference": "paddle", "mindir": "mindspore"}
"""Other names of runtimes."""


def runtime_named(name: str) -> str:
    """The runtime of a name that may be an alias."""
    return ALIASES.get(name, name)
