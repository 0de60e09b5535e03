"""`python -m proxy.simulator`."""

from proxy.simulator.command import simulator

simulator()
