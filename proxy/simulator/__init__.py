"""The simulator as a process: its command, and the control API of its bank and faults."""
