"""A bank's or gateway's settlement file held against the payments."""
