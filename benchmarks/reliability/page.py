"""Writes docs/reliability.md from the counts of the attacks and of the kills."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
import PIL
import safetensors
import yaml
from benchmarks.reliability.attack import Tally
from benchmarks.reliability.readers import readers

from trishift.io.wording import counted
from trishift.version import __version__

INPUTS, KILLS = 10_000, 200
_HEAD = """\
# Reliability

`python -m benchmarks.reliability` attacks every reader of outside files, kills commands at random moments, and
writes this page.

## Inputs

Deliberate inputs (programs in pickles, compression bombs, nesting, sharing, declared against real sizes, stride 0,
huge integers, NUL and control characters, links, devices, wrong suffixes) alternate with random damage to valid
files (flipped bits, cuts, splices, repeated and swapped blocks, extreme numbers, tokens of other languages; inside
zip and gzip files with matching checksums). Each reader runs in a process of its own. An input must be read, or
refused in one line by an error of Trishift, within the bounds of time and memory. A fault is anything else: another
exception, a longer message, a hang, a crash, a program started, a file opened or written elsewhere.
"""
_BOUNDS = """\
Bounds per input: {bounds}, and 50 times its size in memory. `worst` is the largest processor time and additional
memory of an input.
"""
_KILLS = """\
## Kills

`kill -9` at a random moment after the command started to work; every other kill waits until a temporary file
appears. Afterwards, no file under a final name may be incomplete, and repeating the command (for training, with
`--resume`) must give the bytes of an unbroken run and leave no temporary files.
"""


def write_page(path: Path, tallies: Mapping[str, Tally], kills: Mapping[str, Mapping[str, int]]) -> None:
    """Write the page.

    Args:
        path: the page.
        tallies: counts by reader.
        kills: counts `kills`, `aimed`, `faults` by job.
    """
    known = readers()
    rows = [
        f"| {known[name].title} | {tally.done:,} | {tally.deliberate} | {tally.outcomes.get('read', 0):,} | "
        f"{tally.outcomes.get('refused', 0):,} | {tally.outcomes.get('fault', 0)} | {tally.seconds:.1f} s, "
        f"{tally.megabytes:.0f} MB | {tally.version}, {tally.date} |"
        for name in known
        if (tally := tallies.get(name))
    ]
    total = sum(tally.done for tally in tallies.values())
    faults = sum(tally.outcomes.get("fault", 0) for tally in tallies.values())
    bounds = sorted({(each.seconds, each.megabytes) for each in known.values()})
    text = [
        _HEAD,
        "| reader | inputs | deliberate | read | refused | faults | worst | last commit, date |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        f"| {len(tallies)} readers | {total:,} | | | | {faults} | | |",
        "",
        _BOUNDS.format(bounds=" or ".join(f"{seconds:.0f} s and {megabytes} MB" for seconds, megabytes in bounds)),
        *_faults(tallies),
        *_missing(tallies, kills),
        _KILLS,
        "| job | kills | while a temporary file existed | faults |",
        "|---|---|---|---|",
        *(f"| {job} | {counts['kills']} | {counts['aimed']} | {counts['faults']} |" for job, counts in kills.items()),
        f"| {len(kills)} jobs | {_sum(kills, 'kills')} | {_sum(kills, 'aimed')} | {_sum(kills, 'faults')} |",
        "",
        f"Trishift {__version__}, Python {platform.python_version()}, numpy {np.__version__}, PyAV {av.__version__}, "
        f"Pillow {PIL.__version__}, PyYAML {yaml.__version__}, safetensors {safetensors.__version__}.",
    ]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")


def _missing(tallies: Mapping[str, Tally], kills: Mapping[str, Mapping[str, int]]) -> list[str]:
    """How far the attacks are from complete."""
    known = readers()
    short = sum(name not in tallies or tallies[name].done < INPUTS for name in known)
    made = _sum(kills, "kills")
    lines = []
    if short:
        lines.append(
            f"**Not complete:** {short} of {len(known)} readers have seen fewer than {INPUTS:,} inputs, because "
            "the time that the command was given ran out."
        )
    if made < KILLS:
        lines.append(f"**Not complete:** {made} of {KILLS} kills were made.")
    if lines:
        lines.append("Run the command again: it continues where it stopped.")
    return [*lines, ""] if lines else []


def _sum(kills: Mapping[str, Mapping[str, int]], key: str) -> int:
    return sum(counts[key] for counts in kills.values())


def _faults(tallies: Mapping[str, Tally]) -> list[str]:
    """A line for each kind of fault, and whether its inputs are at fault in the present code."""
    kinds: dict[str, int] = {}
    for name, tally in tallies.items():
        for fault in tally.faults:
            state = "fixed since" if fault.get("fixed") else "open"
            kind = f"{name}: {str(fault['fault'])[:100]} ({state})"
            kinds[kind] = kinds.get(kind, 0) + 1
    if not kinds:
        return []
    return [
        "Faults found; the inputs of those fixed since have been read again by the present code:",
        "",
        *(f"* {kind.replace('|', ' ')}: {counted(count, 'input')}" for kind, count in kinds.items()),
        "",
    ]
