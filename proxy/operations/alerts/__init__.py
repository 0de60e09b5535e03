"""Alerts: people are told when a trouble begins and when it is over, by a bot, by e-mail or by a signed webhook."""
