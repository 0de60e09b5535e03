"""The audit log: the operators' acts, as a chain of entries that shows changes and truncation."""
