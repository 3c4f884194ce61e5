"""The file tree that programs see: Python's standard library and the system's libraries, read-only, and nothing else.

No home, no /etc, no /proc, no packages, none of this package's files. `/tmp` is mounted fresh for every program.
"""

from __future__ import annotations

import contextlib
import os
import sys

from curator.sandbox import kernel

_SYSTEM = ("/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_PACKAGES = ("site-packages", "dist-packages")


def shown() -> list[str]:
    """Return the folders of the host that are shown, parents before children, none inside another."""
    stdlib = os.path.dirname(os.__file__)  # noqa: PTH120 - runs before the fork: few imports
    library = os.path.join(sys.base_prefix, "lib")  # noqa: PTH118
    paths = [*_SYSTEM, os.path.realpath(stdlib), os.path.realpath(library)]
    if sys.base_prefix.startswith("/nix/"):
        paths.append("/nix/store")
    real = sorted({p for p in paths if os.path.isdir(p) and not os.path.islink(p)})  # noqa: PTH112, PTH114
    return [p for p in real if not any(p.startswith(q + "/") for q in real)]


def build(new: str) -> None:
    """Mount the tree at the empty folder `new` and make it the root. Needs fresh user and mount namespaces."""
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", new, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=4m,mode=111")
    before = os.umask(0o666)  # folders on the way can be walked through, not listed
    for path in shown():
        _bind(path, new + path)
        for folder in _package_folders(path):
            kernel.mount("tmpfs", new + folder, "tmpfs", kernel.MS_RDONLY, "size=4k,mode=555")
    for path in _SYSTEM:
        if os.path.islink(path):  # noqa: PTH114 - /lib is a link to usr/lib on merged systems
            os.symlink(os.readlink(path), new + path)  # noqa: PTH115
    os.makedirs(new + "/dev", exist_ok=True)  # noqa: PTH103
    for path in _DEVICES:
        with contextlib.suppress(OSError):
            os.close(os.open(new + path, os.O_CREAT | os.O_WRONLY, 0o600))
            kernel.mount(path, new + path, "", kernel.MS_BIND)
    os.symlink("/tmp/.input", new + "/dev/stdin")
    os.makedirs(new + "/etc")  # noqa: PTH103
    with contextlib.suppress(OSError), open("/etc/ld.so.cache", "rb") as cache:  # noqa: PTH123
        descriptor = os.open(new + "/etc/ld.so.cache", os.O_CREAT | os.O_WRONLY, 0o444)
        os.write(descriptor, cache.read(1 << 21))
        os.close(descriptor)
    os.mkdir(new + "/tmp", 0o700)  # noqa: PTH102
    os.umask(before)
    kernel.enter_root(new)
    kernel.mount("", "/", "", kernel.MS_REMOUNT | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV)


def _bind(source: str, target: str) -> None:
    os.makedirs(target, exist_ok=True)  # noqa: PTH103
    kernel.mount(source, target, "", kernel.MS_BIND | kernel.MS_REC)
    kernel.seal(target)


def _package_folders(path: str) -> list[str]:
    """Return the folders of installed packages in a shown tree: they are hidden."""
    inside = [path, *(os.path.join(path, n) for n in os.listdir(path) if n.startswith("python"))]  # noqa: PTH118, PTH208
    folders = [os.path.join(p, name) for p in inside for name in _PACKAGES]  # noqa: PTH118
    return [f for f in folders if os.path.isdir(f)]  # noqa: PTH112
