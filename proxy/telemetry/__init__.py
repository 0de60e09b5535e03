"""What an operator can follow: log lines and traces."""
