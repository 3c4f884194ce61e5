"""The file tree that programs see: Python's standard library and the system's libraries, read-only, and nothing else.

No home, no /etc, no /proc, no packages, none of this package's files. `/tmp` is mounted fresh for every program.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from curator.sandbox import kernel

_SYSTEM = tuple(Path(p) for p in ("/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo"))
_DEVICES = ("null", "zero", "urandom", "random")
_PACKAGES = ("site-packages", "dist-packages")


def shown() -> list[Path]:
    """Return the folders of the host that are shown, sorted, none inside another."""
    stdlib = Path(os.__file__).resolve().parent
    paths = {*_SYSTEM, stdlib, (Path(sys.base_prefix) / "lib").resolve()}
    if sys.base_prefix.startswith("/nix/"):
        paths.add(Path("/nix/store"))
    real = sorted(p for p in paths if p.is_dir() and not p.is_symlink())
    return [p for p in real if not any(q in p.parents for q in real)]


def build(folder: str) -> None:
    """Mount the tree at the empty `folder` and make it the root. Needs fresh user and mount namespaces."""
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=4m,mode=111")
    new = Path(folder)
    before = os.umask(0o666)  # folders on the way can be walked through, not listed
    for path in shown():
        target = _inside(new, path)
        target.mkdir(parents=True, exist_ok=True)
        kernel.mount(str(path), str(target), "", kernel.MS_BIND | kernel.MS_REC)
        kernel.seal(str(target))
        for packages in _package_folders(path):
            kernel.mount("tmpfs", str(_inside(new, packages)), "tmpfs", kernel.MS_RDONLY, "size=4k,mode=555")
    for path in _SYSTEM:
        if path.is_symlink():  # /lib is a link to usr/lib on merged systems
            _inside(new, path).symlink_to(path.readlink())
    _devices(new)
    with contextlib.suppress(OSError):
        (new / "etc").mkdir()
        cache = new / "etc/ld.so.cache"  # where the dynamic linker finds libraries
        cache.write_bytes(Path("/etc/ld.so.cache").read_bytes())
        cache.chmod(0o444)
    (new / "tmp").mkdir()
    os.umask(before)
    kernel.enter_root(folder)
    kernel.mount("", "/", "", kernel.MS_REMOUNT | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV)


def _inside(new: Path, path: Path) -> Path:
    return new / path.relative_to("/")


def _devices(new: Path) -> None:
    (new / "dev").mkdir()
    (new / "dev/stdin").symlink_to("/tmp/.input")
    for name in _DEVICES:
        with contextlib.suppress(OSError):
            (new / "dev" / name).touch()
            kernel.mount(f"/dev/{name}", str(new / "dev" / name), "", kernel.MS_BIND)


def _package_folders(path: Path) -> list[Path]:
    """Return the folders of installed packages in a shown tree: they are hidden."""
    inside = [path, *(p for p in path.iterdir() if p.name.startswith("python"))]
    return [p / name for p in inside for name in _PACKAGES if (p / name).is_dir()]
