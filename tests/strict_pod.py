"""A place as strict as a pod of a cluster, without a container: an unknown user, and a file system that is read-only.

What a container would be is made of three things, each the strictest that this machine allows:

- The image: a directory with an interpreter, the program and its run-time dependencies alone (hard links, so it costs
  next to nothing), laid out as deploy/Containerfile does, readable by everyone.
- The user: as root another user id, that no passwd file knows, with group 0 and the volume's group, as OpenShift gives
  them; else the same inside a user namespace; else, where both are refused, the user who runs the tests.
- The read-only root: Landlock forbids every change of the file system but inside the two directories that play the
  volumes. On a kernel without it only the permissions do.

Nothing here asserts; `Pod.probe` says what a process in there can really change.
"""

import ctypes
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
# Rights of Landlock (linux/landlock.h): those that change a file, and those that change a directory.
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_CHANGE_DIRECTORY = sum(1 << bit for bit in range(4, 14))
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_NEW_USER_NAMESPACE = 0x10000000
_NO_NEW_PRIVILEGES = 38
_LIBC = ctypes.CDLL(None, use_errno=True)
# Tries to change each path it is given, without changing any; prints who it was and what it could have changed.
PROBE = """
import json, os, pwd, sys
def known():
    try:
        return bool(pwd.getpwuid(os.getuid()))
    except KeyError:
        return False
changed = []
for path in sys.argv[1:]:
    try:
        if os.path.isdir(path):
            name = os.path.join(path, "probe-of-the-tests")
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            os.unlink(name)
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
    except OSError:
        continue
    changed.append(path)
who = {"uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "known": known()}
print(json.dumps({**who, "changed": changed}))
"""


@dataclass(frozen=True)
class Pod:
    """A place to run the command in. `user` is None where this machine allows no other than the tests' own."""

    image: Path
    results: Path
    tmp: Path
    user: int | None
    in_namespace: bool
    read_only: bool

    def run(self, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run this image's Python with these arguments, with what its Containerfile sets and nothing else."""
        app = self.image / "app"
        fixed = {
            "PATH": f"{app / 'bin'}:{os.defpath}",
            "LD_LIBRARY_PATH": str(self.image / "python" / "lib"),  # where a copied interpreter finds its own library
            "HOME": str(self.tmp),
            "TMPDIR": str(self.tmp),  # /tmp itself is not this test's to give
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "120",
        }
        who: dict[str, Any] = {}
        if self.user is not None and not self.in_namespace:
            who = {"user": self.user, "group": 0, "extra_groups": [self.user]}
        return subprocess.run(
            [str(app / "bin" / "python3"), *args],
            cwd="/",
            env={**fixed, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            preexec_fn=self._enter(),
            **who,
        )

    def command(self, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the image's entry point."""
        return self.run(str(self.image / "app" / "bin" / "vllm-benchmark"), *args, **environ)

    def probe(self, *paths: Path | str) -> dict[str, Any]:
        """Try to change these paths, as the command would."""
        done = self.run("-c", PROBE, *map(str, paths))
        if done.returncode:
            raise RuntimeError(said(done))
        return dict(json.loads(done.stdout))

    def _enter(self) -> Callable[[], None]:
        """Return what the child does before the command: takes the user of a namespace, gives up writing."""

        def enter() -> None:
            if self.user is not None and self.in_namespace:
                take_namespace(self.user)
            if self.read_only:
                forbid_changes_except(self.results, self.tmp)

        return enter


def take_namespace(user: int) -> None:
    """Become this user, with group 0, in a user namespace of one's own. Raises OSError where it is not allowed."""
    real_user, real_group = os.geteuid(), os.getegid()
    if _LIBC.unshare(_NEW_USER_NAMESPACE):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {real_user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {real_group} 1")


def landlock_version() -> int:
    """Return the version of Landlock's interface, or -1: only from 2 on can files move between directories."""
    return int(_LIBC.syscall(_CREATE_RULESET, None, 0, 1))


def forbid_changes_except(*directories: Path) -> None:
    """Let this process, and its children, change files only inside these directories (and write to /dev/null)."""
    on_files = _WRITE_FILE | (_TRUNCATE if landlock_version() >= 3 else 0)
    everything = on_files | _CHANGE_DIRECTORY
    ruleset = _call(_CREATE_RULESET, struct.pack("=Q", everything), 8, 0)
    for path, rights in [*((one, everything) for one in directories), (Path("/dev/null"), on_files)]:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _call(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, opened), 0)
        os.close(opened)
    if _LIBC.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _call(number: int, *arguments: int | bytes) -> int:
    result = int(_LIBC.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Everything, for a message."""
    return f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"


def open_to_all(path: Path) -> bool:
    """Whether any user can come to this place and read it."""
    return all(one.stat().st_mode & 0o005 == 0o005 for one in (path, *path.parents))


def link(source: str, target: str) -> None:
    """Put a file there without copying it, if it is on the same file system."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise  # a copy would go into the file that is linked already
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def run_time_distributions() -> Iterator[str]:
    """Yield the distributions that the image holds: the program, what it needs, what a search of a cluster needs."""
    # What is installed here may be older than the file; the image is built from the file.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["kubernetes"]]
    yield canonicalize_name(project["name"])
    seen: set[str] = set()
    while needed:
        requirement = Requirement(needed.pop())
        name = canonicalize_name(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and name not in seen:
            seen.add(name)
            yield name
            needed += distribution(name).requires or ()


def make_image(image: Path) -> None:
    """Lay out the image: /python, if this machine's own is not open to all, and /app, a virtual environment of it."""
    base = Path(sys.base_prefix)
    standard_library = Path(sysconfig.get_path("stdlib"))
    interpreter = base / "bin" / VERSION
    if not open_to_all(standard_library):
        unneeded = shutil.ignore_patterns("site-packages", "dist-packages", "test", "idlelib", "ensurepip")
        shutil.copytree(
            standard_library, image / "python/lib" / VERSION, symlinks=True, ignore=unneeded, copy_function=link
        )
        (image / "python/bin").mkdir()
        for library in (base / "lib").glob("libpython*"):
            if library.is_file():
                shutil.copy2(library, image / "python/lib")
        link(str(interpreter.resolve()), str(image / "python/bin" / VERSION))
        interpreter = image / "python/bin" / VERSION
    packages = image / "app/lib" / VERSION / "site-packages"
    (image / "app/bin").mkdir(parents=True)
    (image / "app/pyvenv.cfg").write_text(f"home = {interpreter.parent}\ninclude-system-site-packages = false\n")
    (image / "app/bin/python3").symlink_to(interpreter)
    (image / "app/bin/vllm-benchmark").write_text(
        "import sys\nfrom inference_bench.cli.main import main\nsys.exit(main())\n"
    )
    for name in run_time_distributions():
        for file in distribution(name).files or ():
            source = Path(str(file.locate()))
            if ".." not in file.parts and file.suffix != ".pth" and source.is_file():
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                link(str(source), str(packages / file))
    if not (packages / "inference_bench").exists():  # installed as a checkout
        no_bytecode = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "src/inference_bench", packages / "inference_bench", ignore=no_bytecode)


def contents(tree: Path) -> dict[str, tuple[int, int, int, int]]:
    """Return what tells whether a file of this tree is another: its kind and rights, size, time and inode."""
    found = {}
    for path in (tree, *tree.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(tree))] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino)
    return found


def volume(path: Path, user: int | None, mode: int) -> Path:
    """Make a volume as the kubelet does: its owner is not the pod's user, the pod's group may write it."""
    path.mkdir()
    if user is not None and os.geteuid() == 0:
        os.chown(path, 0, user)
    path.chmod(mode)
    return path


@contextmanager
def open_place() -> Iterator[Path]:
    """Make a directory that any user can come to, and remove it afterwards; pytest's own are the caller's alone."""
    homes = [Path(one) for one in (tempfile.gettempdir(), "/tmp", "/var/tmp") if Path(one).is_dir()]
    home = next((one for one in homes if open_to_all(one)), homes[0])
    directory = Path(tempfile.mkdtemp(prefix="vllm-benchmark-pod-", dir=home))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def strictest_pod(place: Path) -> Pod:
    """Make the strictest pod that this machine allows."""
    umask = os.umask(0o022)
    image = place / "image"
    make_image(image)
    os.umask(umask)
    read_only = landlock_version() >= 2
    # The high one is of the kind that OpenShift gives; a container may know no users beyond 65535.
    users = [random.randrange(1_000_000_000, 2_000_000_000), random.randrange(61_000, 65_000)]
    for user in users:
        for in_namespace in (False, True):
            results = place / f"{user}-{in_namespace}-results"
            tmp = place / f"{user}-{in_namespace}-tmp"
            with suppress(OSError, ValueError, subprocess.SubprocessError):
                if in_namespace or os.geteuid() == 0:
                    owner = None if in_namespace else user
                    volume(results, owner, 0o2770)
                    volume(tmp, owner, 0o1777)
                    candidate = Pod(image, results, tmp, user, in_namespace, read_only)
                    if candidate.run("-c", "pass").returncode == 0:
                        return candidate
    results, tmp = volume(place / "results", None, 0o2770), volume(place / "tmp", None, 0o1777)
    return Pod(image, results, tmp, None, False, read_only)
