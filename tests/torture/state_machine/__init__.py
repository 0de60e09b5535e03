"""The state machine: `python -m tests.torture.state_machine --examples 400 --steps 60 [--seed N]`.

Hypothesis draws what storefronts, customers and operators do over the real HTTP API; after each step the API, the
gateway's ledger and a model on paper must agree, and at the end of each example every webhook must have come.
"""

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from .. import scratch
from .ground import Ground, ground
from .rules import Trade


def play(made: Ground, chosen_seed: int, examples: int, steps: int, *, shrinks: bool = True) -> None:
    """Plays the examples of a seed. Raises what Hypothesis raises, with the shortest story found if it `shrinks`."""
    trade = seed(chosen_seed)(type("Trade", (Trade,), {"ground": made}))
    chosen = profile(examples, steps)
    if not shrinks:
        chosen = settings(chosen, phases=(Phase.generate,), report_multiple_bugs=False)
    run_state_machine_as_test(trade, settings=chosen)


def profile(examples: int, steps: int = 50) -> settings:
    """Bounded, from its seed alone: no database of earlier failures, and no deadline on a busy machine."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def in_a_folder(work: Callable[[Ground], None]) -> Ground:
    """`work` on a ground whose files go away with it."""
    with scratch() as folder, ground(folder) as made:
        work(made)
        return made
