"""Work on a Ray cluster that grows and loses processes: who takes part, what waits, and what is tried again."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import isolated
from tests.support.ray_nodes import ray_cluster

from trishift.errors import TrishiftError
from trishift.io import cluster as subject
from trishift.io.cluster import connected

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")
from ray.autoscaler.v2.sdk import get_cluster_resource_state  # noqa: E402

LONGEST = 400.0  # seconds until a node takes part, on a busy machine
Work = Callable[[int], Any]


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of one node, with room for one process."""
    with ray_cluster(monkeypatch) as cluster:
        yield cluster


def make(work: Work) -> Callable[[], tuple[str, Work]]:
    """What a process prepares; nested functions reach the processes as they are."""
    return lambda: ("ready", work)


def node_of_process(chunk: int) -> str:
    import ray

    time.sleep(0.05)
    return str(ray.get_runtime_context().get_node_id())


def endless(done: Callable[[], bool]) -> Iterator[int]:
    """Chunks until something has happened."""
    begin, number = time.monotonic(), 0
    while not done():
        assert time.monotonic() - begin < LONGEST
        yield number
        number += 1


def test_a_node_that_joins_takes_part(head: Any) -> None:
    nodes: set[str] = set()
    with (
        connected(head.address) as cluster,
        cluster.run(make(node_of_process), endless(lambda: len(nodes) == 2)) as (opening, results),
    ):
        assert opening == "ready"
        for count, node in enumerate(results):
            nodes.add(node)
            if count == 3:
                assert len(nodes) == 1
                head.add_node(**head.node)
    assert len(nodes) == 2


def test_processes_that_wait_are_the_demand_by_which_a_cluster_grows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The test stands for the autoscaler: it reads the same requests, and starts nodes for them."""
    requests: list[int] = []
    with ray_cluster(monkeypatch, num_cpus=0) as head, connected(head.address) as cluster:
        client, grow = ray._raylet.GcsClient(address=head.address), subject._Pool._grow

        def scaled(self: Any, wanted: Callable[[], int]) -> None:
            grow(self, wanted)
            state = get_cluster_resource_state(client)
            waiting = sum(
                each.count for each in state.pending_resource_requests if each.request.resources_bundle["CPU"] == 1
            )
            if waiting and len(state.node_states) == 1 + len(requests) < 3:
                requests.append(waiting)
                head.add_node(**head.node)

        monkeypatch.setattr(subject._Pool, "_grow", scaled)
        nodes: set[str] = set()
        chunks = endless(lambda: len(nodes) == 2)
        with cluster.run(make(node_of_process), chunks, processes=2) as (_, results):
            for node in results:
                nodes.add(node)
        assert requests[0] == len(requests) == 2
        assert f"no node of {head.address} has 1 CPU core; waiting up to 300 s for one" in caplog.text
        with (
            pytest.raises(TrishiftError, match="has 64 CPU cores; start a larger node, or let the cluster grow"),
            cluster.run(make(node_of_process), [], cores=64),
        ):
            pass


def test_chunks_are_drawn_as_they_are_needed(head: Any) -> None:
    """So memory stays bounded, even if whoever takes the results is slow."""
    head.add_node(**head.node)
    drawn, taken, ahead = 0, 0, []

    def chunks() -> Iterator[int]:
        nonlocal drawn
        for number in range(60):
            drawn += 1
            yield number

    with connected(head.address) as cluster, cluster.run(make(lambda chunk: chunk), chunks()) as (_, results):
        found = []
        for result in results:
            taken += 1
            ahead.append(drawn - taken)
            found.append(result)
            time.sleep(0.02)
    assert sorted(found) == list(range(60))
    assert max(ahead) <= 2 * subject._IN_FLIGHT


@pytest.mark.parametrize("deaths", [2, 3])
def test_a_chunk_is_tried_three_times(head: Any, tmp_path: Path, deaths: int, caplog: pytest.LogCaptureFixture) -> None:
    def work(chunk: int) -> int:
        if chunk == 5:
            tries = len(list(tmp_path.iterdir()))
            if tries < deaths:
                (tmp_path / str(tries)).touch()
                os._exit(1)
        return chunk

    with connected(head.address) as cluster, cluster.run(make(work), range(12)) as (_, results):
        if deaths == 2:
            assert sorted(results) == list(range(12))
        else:
            with pytest.raises(TrishiftError, match="3 processes ended on the same videos, see Ray's logs"):
                list(results)
    assert caplog.text.count("a process was lost") == deaths
    assert len(list(tmp_path.iterdir())) == deaths


def test_processes_that_never_become_ready_are_an_error(head: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_FAILURES", 2)
    with (
        connected(head.address) as cluster,
        pytest.raises(TrishiftError, match="2 processes ended before they were ready, see Ray's logs"),
        cluster.run(lambda: os._exit(1), [1]),
    ):
        pass


def test_what_processes_log_is_logged_here_once(head: Any, caplog: pytest.LogCaptureFixture) -> None:
    head.add_node(**head.node)

    def work(chunk: int) -> int:
        logging.getLogger("trishift.anything").warning("an odd clip")
        logging.getLogger("trishift.anything").info("nothing")
        return chunk

    with connected(head.address) as cluster, cluster.run(make(work), range(8)) as (_, results):
        assert sorted(results) == list(range(8))
    assert [record.message for record in caplog.records] == ["an odd clip"]


LOST = """
import os
import pytest
from tests.support.ray_nodes import ray_cluster
from trishift.errors import TrishiftError
from trishift.io import cluster as subject

subject._SECONDS_WITHOUT_HEAD = 2
with ray_cluster(pytest.MonkeyPatch(), nodes=2) as head:
    address = head.address
    try:
        with subject.connected(address) as cluster, cluster.run(lambda: ("", abs), iter(int, 1)) as (_, results):
            next(results)
            head.head_node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
            for _ in results:
                pass
    except TrishiftError as error:
        print(str(error).replace(address, "HEAD"), flush=True)
    for node in head.worker_nodes:
        node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
    os._exit(0)  # Ray would end this process after a minute
"""


def test_the_loss_of_the_head_node_is_one_line() -> None:
    (line,) = (line for line in isolated.python("-c", LOST).splitlines() if "engine" in line)  # Ray prints, too
    assert line.startswith("--engine ray: the head node at HEAD is lost (")
    assert line.endswith("repeat the command to continue when the cluster is back")
