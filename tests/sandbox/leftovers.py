"""What programs leave behind."""

from __future__ import annotations

import time

from curator.sandbox import keeper


def assert_nothing_left():
    """No process but the server's own, in the end: the kernel takes a while to clear namespaces away."""
    import psutil

    server = keeper.shared().process
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        left = [p for p in psutil.Process(server.pid).children(recursive=True)]
        if len(left) <= 1:  # process 1 of the sandbox
            return
        time.sleep(0.1)
    raise AssertionError(f"left: {left}")
