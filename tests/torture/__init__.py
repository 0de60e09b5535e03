"""The campaign that tries to lose a payment. Each stage is a command: `python -m tests.torture.STAGE`."""

import sys
from pathlib import Path

# As commands the stages find the other tests' helpers (`e2e`, `store`) by the names that pytest gives them.
if (_TESTS := str(Path(__file__).parent.parent)) not in sys.path:
    sys.path.append(_TESTS)
