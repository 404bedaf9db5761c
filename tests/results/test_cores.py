"""The cores a run may use: those it may run on, and no more than its container's quota pays for."""

import os
from pathlib import Path

import pytest

from inference_bench.results.cores import cpu_quota, usable_cores


def group(tmp_path: Path, where: str, **files: str) -> None:
    folder = tmp_path / "cgroup" / where
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def quota(tmp_path: Path, own: str) -> float | None:
    (tmp_path / "own").write_text(own)
    return cpu_quota(cgroups=tmp_path / "cgroup", own=tmp_path / "own")


def test_the_quota_of_a_container(tmp_path: Path) -> None:
    group(tmp_path, "", cpu__max="150000 100000")
    assert quota(tmp_path, "0::/\n") == 1.5
    assert usable_cores(cgroups=tmp_path / "cgroup", own=tmp_path / "own") == 1


def test_the_tightest_of_all_above_it_holds(tmp_path: Path) -> None:
    group(tmp_path, "kubepods/pod1/box", cpu__max="max 100000")
    group(tmp_path, "kubepods/pod1", cpu__max="400000 100000")
    group(tmp_path, "kubepods", cpu__max="800000 100000")
    assert quota(tmp_path, "0::/kubepods/pod1/box\n") == 4.0


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    group(tmp_path, "cpu/docker/1", **{"cpu__cfs_quota_us": "200000", "cpu__cfs_period_us": "100000"})
    assert quota(tmp_path, "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n") == 2.0
    group(tmp_path, "cpu/docker/1", **{"cpu__cfs_quota_us": "-1"})
    assert quota(tmp_path, "3:cpu,cpuacct:/docker/1\n") is None


@pytest.mark.parametrize("text", ["", "max", "x y", "1 0", "100000"])
def test_what_is_no_quota_limits_nothing(tmp_path: Path, text: str) -> None:
    group(tmp_path, "", cpu__max=text)
    assert quota(tmp_path, "0::/\n") is None


def test_a_quota_above_what_may_be_run_on_changes_nothing(tmp_path: Path) -> None:
    group(tmp_path, "", cpu__max="100000000 100000")
    (tmp_path / "own").write_text("0::/\n")
    assert usable_cores(cgroups=tmp_path / "cgroup", own=tmp_path / "own") == len(os.sched_getaffinity(0))
    assert usable_cores(cgroups=tmp_path / "none", own=tmp_path / "none") == len(os.sched_getaffinity(0))
