"""How long a supervisor waits for what. Seconds.

Every wait of the supervisor has its limit here; tests of slow paths pass shorter ones.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Times:
    tick: float = 0.1  # between two looks at everything
    poll: float = 0.25  # between two looks at the catalog file
    scan: float = 1.0  # between two looks at a folder of models
    waiting: float = 5.0  # connections wait so long for a worker, and are then answered 503
    hello: float = 30.0  # a worker's first word
    stuck: float = 10.0  # a worker that says nothing for so long is replaced
    trial: float = 300.0  # from a trial's start to its verdict
    patience: float = 30.0  # a trial or fetch that takes longer beside traffic gets more of the processor
    fetch: float = 3600.0  # one download
    arrival: float = 300.0  # a new replica that can fetch nothing at all is not ready for so long
    retry: float = 1.0  # the first pause before a load or fetch is tried again; doubles
    retry_most: float = 60.0
    crash: float = 0.5  # the first pause of a crash loop; doubles
    crash_most: float = 30.0
    calm: float = 10.0  # a worker that lived so long ends a crash loop
    ports: float = 5.0  # for children of a predecessor to let go of the ports
    end: float = 5.0  # between a child's end of link and its end


def back_off(first: float, most: float, failures: int) -> float:
    """The pause after the n-th failure in a row: first, 2*first, 4*first ... most."""
    return min(most, first * 2.0 ** max(0, min(failures - 1, 30)))
