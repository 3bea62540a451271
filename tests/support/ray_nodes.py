"""A Ray cluster of nodes on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_STORE = 80 * 2**20  # bytes of shared memory per node, the least that Ray takes

_SETTINGS = {
    "USAGE_STATS_ENABLED": "0",
    "memory_monitor_refresh_ms": "0",  # it ends processes while others fill the memory
    "worker_niceness": "0",  # by default, processes wait for all others of a busy machine
}


def end_node(cluster: Any, node: Any) -> None:
    """Kill a node, and wait until the cluster knows: until then, its processes may go on working."""
    import ray

    cluster.remove_node(node, allow_graceful=False)
    while any(each["NodeID"] == node.node_id and each["Alive"] for each in ray.nodes()):
        time.sleep(0.1)


@contextmanager
def ray_cluster(monkeypatch: pytest.MonkeyPatch, nodes: int = 1, num_cpus: int = 1) -> Iterator[Any]:
    """Yield a `ray.cluster_utils.Cluster`, whose further nodes are started by `add_node(**cluster.node)`.

    Args:
        monkeypatch: of the test.
        nodes: how many to start.
        num_cpus: cores of the first one; all others have one.
    """
    import ray
    from ray.cluster_utils import Cluster

    for name, value in _SETTINGS.items():
        monkeypatch.setenv(f"RAY_{name}", value)
    node = {"num_cpus": 1, "object_store_memory": _STORE}
    head = {**node, "num_cpus": num_cpus, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.node = node
    try:
        cluster.others = [cluster.add_node(**node) for _ in range(nodes - 1)]
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
