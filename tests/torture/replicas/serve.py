"""`dargah serve` with leases that end after a third of their time: for a short run that pauses a holder for longer."""

import sys

from proxy.__main__ import main
from proxy.kernel.clock import SECOND
from proxy.payments import checkout, creation, poller
from proxy.webhooks import worker as delivery

# Longer than what the server lets a paused process keep a merchant's lock for, as the real ones are.
LEASE_SECONDS = 9

if __name__ == "__main__":
    for module, name in (
        (creation, "REQUEST_LEASE"),
        (checkout, "RETURN_LEASE"),
        (delivery, "LEASE"),
        (poller, "LEASE"),
    ):
        vars(module)[name] = LEASE_SECONDS * SECOND
    sys.argv[1:] = ["serve"]
    main()
