"""What holds for all tests."""

import signal

from hypothesis import HealthCheck, settings

# A busy machine must not fail a test: no assertion is timed, and hypothesis's two limits are such assertions.
settings.register_profile("curator", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("curator")

# A shell starts what runs in the background deaf to Ctrl-C, and children inherit that; some tests press it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
