"""The engine that every family's simulator speaks through: a bank with its ledger, faults and pages, and no wire."""
