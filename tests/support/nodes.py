"""Two machines of one network, made of network namespaces of Linux: each has a loopback and an address of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

ADDRESSES = ("10.18.0.1", "10.18.0.2")
_HOLDER = "ip link set lo up && echo ready && exec sleep infinity"


class Node(NamedTuple):
    """A machine.

    Attributes:
        address: in the network of both.
        holder: process that keeps its namespaces.
    """

    address: str
    holder: subprocess.Popen[str]

    def command(self, *words: str) -> list[str]:
        """A command that runs on this machine."""
        return [*_enter(self.holder, "--net", "--uts"), *words]

    def unplug(self) -> None:
        """Cut the network: nothing arrives any more, and nobody is told."""
        subprocess.run(self.command("ip", "link", "set", "eth0", "down"), check=True)


@contextmanager
def two_nodes() -> Iterator[list[Node]]:
    """Two connected machines, without any rights on the real one.

    Raises:
        OSError: this system does not permit namespaces.
    """
    holders: list[subprocess.Popen[str]] = []
    try:
        holders.append(_hold(["unshare", "--user", "--map-root-user", "--net", "--uts"], "node-a"))
        holders.append(_hold([*_enter(holders[0]), "unshare", "--net", "--uts"], "node-b"))
        nodes = [Node(*pair) for pair in zip(ADDRESSES, holders, strict=True)]
        cable = ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(holders[1].pid)]
        _run(nodes[0].command(*cable))
        for node in nodes:
            _run(node.command("ip", "addr", "add", f"{node.address}/24", "dev", "eth0"))
            _run(node.command("ip", "link", "set", "eth0", "up"))
        yield nodes
    finally:
        for holder in holders:
            with suppress(OSError):
                holder.kill()
            holder.wait()


def _hold(command: list[str], name: str) -> subprocess.Popen[str]:
    words = [*command, "sh", "-c", f"hostname {name} && {_HOLDER}"]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert holder.stdout and holder.stderr
    if holder.stdout.readline() != "ready\n":
        holder.kill()
        raise OSError(f"namespaces are not permitted: {holder.stderr.read().strip()}")
    return holder


def _enter(holder: subprocess.Popen[str], *kinds: str) -> list[str]:
    return ["nsenter", "--target", str(holder.pid), "--user", "--preserve-credentials", *kinds]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"namespaces are not permitted: {done.stderr.strip()}")
