"""The demo: a gateway, Dargah and a shop, real on loopback, and one payment through them all."""
