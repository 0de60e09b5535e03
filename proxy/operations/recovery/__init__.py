"""After an outage or a restore: nothing that was paid meanwhile is missed."""
