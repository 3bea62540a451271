"""Several processes: order, failures by name, notices once, and an end with the parent."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import active_children

import pytest

from trishift.errors import DataError, TrishiftError
from trishift.io.processes import server, streams

LOG = logging.getLogger("trishift.tests")


def count(index: int) -> Iterator[tuple[int, str]]:
    LOG.warning("the same notice")
    LOG.warning("notice of %s", os.environ["NAME"])
    for number in range(3):
        yield number, os.environ["NAME"]


class SlowEnd:
    """Its end is interrupted where Python prints exceptions instead of raising them."""

    def __del__(self) -> None:
        time.sleep(60)


def fail(how: str, index: int) -> Iterator[int]:
    yield index
    if index == 0:
        SlowEnd()  # the failure of another process is not waited for
    if how == "error":
        raise DataError("clip.mp4: is damaged")
    if how == "bug":
        raise ZeroDivisionError
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(int(how))


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    before = set(active_children())  # other tests of this worker may share one
    yield
    assert set(active_children()) <= before


def test_results_arrive_in_order_and_notices_once(caplog: pytest.LogCaptureFixture) -> None:
    with streams(count, [{"NAME": "a"}, {"NAME": "b"}]) as results:
        assert [list(stream) for stream in results] == [[(n, name) for n in range(3)] for name in "ab"]
    messages = sorted(record.getMessage() for record in caplog.records)
    assert messages == ["notice of a", "notice of b", "the same notice"]
    assert "NAME" not in os.environ


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("error", "process 2 of 2: clip.mp4: is damaged"),
        ("kill", "process 2 of 2: was ended by SIGKILL; memory may have run out"),
        ("bug", "process 2 of 2: ended with status 1, see above"),
        ("3", "process 2 of 2: ended with status 3, see above"),
    ],
)
def test_a_failure_names_the_process_and_ends_the_others(
    how: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TrishiftError) as error, streams(partial(fail, how), [{}, {}]) as results:
        for result in results[0]:
            assert result == 0
    assert str(error.value) == message
    assert "SystemExit" not in capfd.readouterr().err


def counter(start: int) -> Callable[[], tuple[int, str]]:
    if start < 0:
        raise DataError("start: must not be negative")
    numbers = iter(range(start, start + 2))
    return lambda: (next(numbers), os.environ["NAME"])


def test_a_server_keeps_its_state_between_calls() -> None:
    with server(partial(counter, 5), {"NAME": "a"}) as call:
        assert [call(), call()] == [(5, "a"), (6, "a")]
        with pytest.raises(TrishiftError, match="process 1 of 1: ended with status 1"):
            call()


def test_a_server_that_cannot_be_made_says_why() -> None:
    with pytest.raises(TrishiftError) as error, server(partial(counter, -1)):
        pass
    assert str(error.value) == "start: must not be negative"
