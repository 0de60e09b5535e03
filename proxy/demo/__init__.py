"""The demo: a gateway, Dargah and a shop as real processes and servers on loopback, and one payment through them all."""
