"""A gateway that speaks the protocol, with a ledger of its own. It knows nothing of the rest of the package."""
