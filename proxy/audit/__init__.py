"""The audit log: what operators did, as a chain of entries that shows what was changed or cut off."""
