import os
import signal

import pytest

from fairlead_cli.errors import Interrupted
from fairlead_cli.interrupts import Interrupts


def test_signals_are_counted_and_told_when_asked() -> None:
    """None breaks anything off; the next look raises; afterwards the old handlers are back."""
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        interrupts.check()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert interrupts.count == 3
        with pytest.raises(Interrupted):
            interrupts.check()
    assert signal.getsignal(signal.SIGINT) is before
