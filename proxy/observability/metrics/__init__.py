"""The metrics that Prometheus scrapes of this process, on the operator's listener. docs/metrics.md has the meaning of
each.

No label names a merchant, a payment or a URL: those have no bound.
"""

from typing import Final

from proxy.observability.metrics.metrics import Metrics

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
