"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# A busy machine must not fail a test: no assertion is timed, and hypothesis's two limits are such assertions.
settings.register_profile("curator", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("curator")
