"""What holds for all tests: laws are tried without a clock, for a busy machine must not fail them."""

from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
