"""Dargah: a payment proxy for merchants who sell through a redirect gateway."""

__version__ = "0.1.0"
