from __future__ import annotations

import pytest

from local_cluster.errors import Unavailable
from local_cluster.shell import call, succeeds


def test_what_it_wrote_comes_back() -> None:
    """Standard output, with what was handed in."""
    assert call(["cat"], stdin="it") == "it"
    assert succeeds(["true"])


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (["sh", "-c", "echo no such thing >&2; exit 3"], "no such thing"),
        (["false"], "false: exit status 1"),
        (["no-such-program"], "there is no no-such-program here"),
        (["sleep", "60"], "sleep 60: not done within 0.2 s"),
    ],
)
def test_a_failure_is_one_line(command: list[str], complaint: str) -> None:
    """It names the program and says what it said last."""
    with pytest.raises(Unavailable) as fault:
        call(command, limit_s=0.2 if command[0] == "sleep" else 30)
    assert complaint in str(fault.value)
    assert "\n" not in str(fault.value)
    assert not succeeds(command, limit_s=0.2)


def test_the_way_into_a_namespace_is_not_shown() -> None:
    """What failed is the program, not the words before it."""
    with pytest.raises(Unavailable, match=r"^(ls nowhere: .*|there is no nsenter here)$"):
        call(["nsenter", "--no-fork", "--", "ls", "--all", "nowhere"])
