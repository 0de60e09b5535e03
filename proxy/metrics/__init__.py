"""What Prometheus scrapes of this process, on the operator's listener. docs/metrics.md has each with its meaning.

No label names a merchant, a payment or a URL: those have no bound.
"""

from typing import Final

from proxy.metrics.metrics import Metrics

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
