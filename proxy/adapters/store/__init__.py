"""The store's steps and its parts, written once for every database; a database adds how a transaction runs them."""
