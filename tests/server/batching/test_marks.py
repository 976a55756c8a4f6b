"""The marks of running versions, as the supervisor finds them after a death."""

import os
import subprocess
import sys

from fairlead_server.batching import marks


def test_what_runs_is_seen_and_gone_after() -> None:
    """Two runs of one version and one of another are two names; each disappears with its last run."""
    fd = marks.create()
    writer = marks.Marks(fd)
    churn, fraud = writer.mark("churn" * 6), writer.mark("fraud")
    slots = [churn.enter(), churn.enter(), fraud.enter()]
    assert marks.read(fd) == ("churn" * 6, "fraud")
    churn.leave(slots[0])
    assert marks.read(fd) == ("churn" * 6, "fraud")
    churn.leave(slots[1])
    fraud.leave(slots[2])
    assert marks.read(fd) == ()
    writer.close()
    os.close(fd)


def test_a_run_on_the_loop_is_told_apart() -> None:
    """Of several that run, the one that holds up the loop; the writer sees what the supervisor sees."""
    fd = marks.create()
    writer = marks.Marks(fd)
    churn, fraud = writer.mark("churn" * 6), writer.mark("f" * 48)
    churn.enter()
    slot = fraud.enter(in_place=True)
    assert marks.read_in_place(fd) == ("f" * 48,)
    assert marks.read(fd) == writer.running() == ("churn" * 6, "f" * 48)
    fraud.leave(slot)
    assert marks.read_in_place(fd) == ()
    writer.close()
    os.close(fd)


def test_more_runs_than_slots_are_left_unmarked() -> None:
    """A full board delays nobody, and gives no slot away twice."""
    fd = marks.create()
    writer = marks.Marks(fd)
    slots = [writer.mark(f"uid{at}").enter() for at in range(marks.SLOTS)]
    late = writer.mark("late")
    assert late.enter() == -1
    late.leave(-1)
    assert len(marks.read(fd)) == marks.SLOTS
    writer.mark("uid0").leave(slots[0])
    assert late.enter() == slots[0]
    writer.close()
    os.close(fd)


def test_marks_outlive_the_process_that_wrote_them() -> None:
    """A worker killed in the middle of a run leaves the name of what it ran."""
    fd = marks.create()
    code = (
        "import os, signal; from fairlead_server.batching.marks import Marks; "
        f"Marks({fd}).mark('guilty').enter(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], pass_fds=[fd], check=False, timeout=20)
    assert done.returncode == -9
    assert marks.read(fd) == ("guilty",)
    os.close(fd)


def test_the_supervisors_imports_stay_small() -> None:
    """Neither marks nor the histogram bounds bring numpy in."""
    code = (
        "import sys; from fairlead_server.batching import marks, counts; "
        "sys.exit(any(name in sys.modules for name in ('numpy', 'asyncio', 'onnxruntime')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
