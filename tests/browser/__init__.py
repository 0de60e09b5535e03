"""What people see, in a real browser: Debian's Chromium, driven by Playwright."""

import sys
from pathlib import Path

# For `python -m tests.browser.screenshots`, which pytest does not run.
if (_TESTS := str(Path(__file__).parent.parent)) not in sys.path:
    sys.path.append(_TESTS)
