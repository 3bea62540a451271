"""Cost of the temporal shift: TSM against TSN, in both memory formats.

    python -m benchmarks.shift [--backbone resnet50] [--segments 8] [--rounds 15] [--threads 2] [--train]

Prints a Markdown table per memory format. Ratios compare runs of the same round.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from benchmarks.interleaved import measure, table

from trishift.backends.pytorch.recognizer import Recognizer
from trishift.model.spec import ModelSpec, ShiftSpec


def forward(network: Recognizer, clips: torch.Tensor) -> Callable[[], object]:
    """A forward pass in evaluation mode."""
    network.eval()

    def call() -> object:
        with torch.inference_mode():
            return network(clips)

    return call


def forward_backward(network: Recognizer, clips: torch.Tensor) -> Callable[[], object]:
    """A training pass without the optimizer."""
    network.train()

    def call() -> None:
        network.zero_grad(set_to_none=True)
        network(clips).square().mean().backward()

    return call


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet50", choices=["resnet18", "resnet50", "mobilenet_v2"])
    parser.add_argument("--segments", type=int, default=8)
    parser.add_argument("--size", type=int, default=224, help="side of the frames in pixels")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--train", action="store_true", help="forward and backward instead of forward")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clips = torch.randn(1, arguments.segments, 3, arguments.size, arguments.size)
    prepare = forward_backward if arguments.train else forward
    for memory_format in (torch.contiguous_format, torch.channels_last):
        networks = {
            name: Recognizer(ModelSpec(arguments.backbone, 400, arguments.segments, shift=shift))
            for name, shift in (("TSN", None), ("TSM", ShiftSpec()))
        }
        alternatives = {name: prepare(net.to(memory_format=memory_format), clips) for name, net in networks.items()}
        layout = "channels_last" if memory_format is torch.channels_last else "NCHW"
        print(
            table(measure(alternatives, arguments.rounds), "TSN", f"{arguments.backbone}, {layout}"), "\n", flush=True
        )


if __name__ == "__main__":
    main()
