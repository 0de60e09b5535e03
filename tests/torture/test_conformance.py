"""The short form of the schemathesis stage; `python -m tests.torture.conformance` is the long one."""

import pytest
from web.openapi_check import operations

from .conformance import campaign, unanswered
from .test_simulation import first_seed

EXAMPLES = 3


# It calls every operation, one after the other: on a busy machine that takes a while.
@pytest.mark.timeout(300)
def test_no_answer_of_a_live_port_is_outside_the_document() -> None:
    seed = first_seed()
    told = campaign(seed, EXAMPLES)
    report = "\n".join([f"DARGAH_TORTURE_SEED={seed}", *told.lines()])
    assert not told.violations, report
    assert len(told.statuses) == len(operations()), report
    # Three tries of an operation may all be unlucky; most of them may not.
    assert len(unanswered(told)) < len(told.statuses) / 4, report
