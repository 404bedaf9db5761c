"""What a machine tells of itself, and plans held against it before the run: refused, noted, or carried."""

import os
import resource
from pathlib import Path

import pytest

from inference_bench.config.models import LoadTestSettings
from inference_bench.errors import ResourceLimitError
from inference_bench.testing import burden, limits, machine
from inference_bench.testing.burden import MIB, Burden, check_burden
from inference_bench.testing.limits import MOST_PER_WORKER, Need, check_limits, check_rates


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_tightest_memory_limit_counts(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    write(proc / "meminfo", "MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    write(proc / "self/cgroup", "0::/a/b\n")
    assert machine.memory_available(proc=proc, cgroups=groups) == 4000 * 1024
    write(groups / "a/memory.max", "max\n")
    write(groups / "a/memory.current", "100\n")
    assert machine.memory_available(proc=proc, cgroups=groups) == 4000 * 1024
    write(groups / "a/b/memory.max", "3000000\n")
    write(groups / "a/b/memory.current", "2500000\n")
    assert machine.memory_available(proc=proc, cgroups=groups) == 500_000
    write(groups / "a/b/memory.stat", "anon 1\ninactive_file 100000\n")
    assert machine.memory_available(proc=proc, cgroups=groups) == 600_000


def test_what_is_not_told_is_none(tmp_path: Path) -> None:
    write(tmp_path / "net/sockstat", "sockets: used 9\nTCP: inuse 5 orphan\n")
    write(tmp_path / "sys/net/ipv4/ip_local_port_range", "many ports")
    for told in (machine.ports_in_time_wait, machine.local_ports, machine.receive_buffer, machine.socket_memory):
        assert told(proc=tmp_path) is None
    assert machine.pipe_limits(proc=tmp_path) is None
    assert machine.memory_available(proc=tmp_path, cgroups=tmp_path) is None
    assert machine.process_memory(0) is None
    assert machine.open_files(0) is None


def test_ports_buffers_and_pipes_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    write(tmp_path / "net/sockstat", "sockets: used 9\nTCP: inuse 5 orphan 0 tw 321 alloc 9 mem 2\n")
    write(tmp_path / "sys/net/ipv4/ip_local_port_range", "32768\t60999\n")
    write(tmp_path / "sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n")
    write(tmp_path / "sys/fs/pipe-max-size", "1048576\n")
    write(tmp_path / "sys/fs/pipe-user-pages-soft", "0\n")
    assert machine.ports_in_time_wait(proc=tmp_path) == 321
    assert machine.local_ports(proc=tmp_path) == 28_232
    assert machine.receive_buffer(proc=tmp_path) == 6_291_456
    assert machine.pipe_limits(proc=tmp_path) == (1_048_576, 0)
    assert machine.disk_free(tmp_path / "not" / "made" / "yet") == pytest.approx(machine.disk_free(tmp_path), rel=0.2)


def test_a_rate_that_no_worker_can_send_is_refused_with_the_time_it_would_have() -> None:
    with pytest.raises(ResourceLimitError, match=r"asks for 40,000 requests/s: one worker would have 25 us for each"):
        check_limits([Need("t", 10, 10, rate=4.0 * MOST_PER_WORKER)])
    with pytest.raises(ResourceLimitError, match="3 workers"):
        check_limits([Need("t", 10, 10, rate=3.1 * MOST_PER_WORKER, workers=3)])
    (note,) = check_limits([Need("t", 10, 10, rate=0.9 * MOST_PER_WORKER)])
    assert "is near the 10,000 that one worker can send at most" in note
    assert check_limits([Need("t", 10, 10, rate=100.0)]) == []


def test_a_rate_is_refused_before_its_times_are_drawn_whatever_shape_it_has() -> None:
    def load(**more: object) -> LoadTestSettings:
        return LoadTestSettings.model_validate({"name": "t", "duration_seconds": 60, **more})

    mild = [load(rate=9_000), load(concurrent_users=70_000), load(rate=[10, 9_000])]
    check_rates(mild, workers=1)
    for wild in (load(rate=30_001), load(rate=[10, 40_000]), load(rate=[40_000, 1], arrivals="ramp")):
        with pytest.raises(ResourceLimitError, match="test t asks for"):
            check_rates([*mild, wild], workers=3)


def test_ports_that_closed_connections_hold_are_noted_and_refuse_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "local_ports", lambda: 100)
    monkeypatch.setattr(limits, "ports_in_time_wait", lambda: 60)
    assert check_limits([Need("t", 15, 15)]) == []
    (note,) = check_limits([Need("t", 25, 25)])
    assert "60 of the 100 local ports are still held" in note
    (note,) = check_limits([Need("t", 90, 90)])
    assert "near the 100 local ports" in note
    with pytest.raises(ResourceLimitError, match="101 connections, this machine has 100 local ports"):
        check_limits([Need("t", 101, 101)])


def test_more_open_files_than_the_hard_limit_are_refused() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1 << 40
        assert check_limits([Need("t", 1, 100)]) == []
        return
    with pytest.raises(ResourceLimitError, match="open files"):
        check_limits([Need("t", 1, hard)])


def load(**changes: int) -> Burden:
    values = {"connections": 100, "body_bytes": 1000, "answer_tokens": 100, "requests": 1000, "output_tokens": 100_000}
    values |= changes
    return Burden(test="t", rate=0.0, guessed=False, **values)


def test_memory_and_disk_are_refused_when_they_cannot_do_and_noted_when_near(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(burden, "memory_available", lambda: 400 * MIB)
    monkeypatch.setattr(burden, "disk_free", lambda _place: 100 * MIB)
    assert check_burden([load()], workers=1, directory=tmp_path) == []
    (note,) = check_burden([load(body_bytes=200_000, connections=150)], workers=1, directory=tmp_path)
    assert "of memory, this machine has 400 MiB left: near the limit" in note
    with pytest.raises(ResourceLimitError, match="of memory") as refused:
        check_burden([load(body_bytes=4_000_000)], workers=1, directory=tmp_path)
    assert refused.value.hint is not None
    (note,) = check_burden([load(output_tokens=1_600_000)], workers=1, directory=tmp_path)
    assert "100 MiB are free where its results go" in note
    with pytest.raises(ResourceLimitError, match="100 MiB are free"):
        check_burden([load(output_tokens=5_000_000)], workers=1, directory=tmp_path)


def test_buffers_and_pipes_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burden, "socket_memory", lambda: (10 * MIB, 20 * MIB))
    monkeypatch.setattr(burden, "receive_buffer", lambda: 6 * MIB)
    monkeypatch.setattr(burden, "pipe_limits", lambda: (MIB, 4 * MIB))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(burden, "memory_available", lambda: None)
    monkeypatch.setattr(burden, "disk_free", lambda _place: None)
    buffers, pipes = check_burden([load(connections=2000)], workers=8, directory=tmp_path)
    assert "net.ipv4.tcp_mem" in buffers
    assert "8 workers want 16 MiB of pipes" in pipes
    assert check_burden([load()], workers=1, directory=tmp_path) == []
