"""What holds for all tests: laws are tried without a clock, and nobody's own cluster is searched."""

import os

from hypothesis import HealthCheck, settings

# A busy machine must not fail a law.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

# `discover` looks into the cluster at hand: that of whoever runs the tests is none of their business.
os.environ["KUBECONFIG"] = os.devnull
os.environ.pop("KUBERNETES_SERVICE_HOST", None)
