import contextlib
import io
import os

from fairlead_cli.progress import Progress, Voice


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_short_waits_say_nothing() -> None:
    """Nothing is written in the first two seconds, on a terminal or elsewhere."""
    for out in (io.StringIO(), Terminal()):
        progress = Progress("it", Voice(out))
        for passed in (0.0, 1.0, 1.99):
            progress.tick(passed)
        progress.done()
        assert out.getvalue() == ""


def test_elsewhere_it_is_a_line_now_and_then() -> None:
    """The first after two seconds, then every five."""
    out = io.StringIO()
    progress = Progress("waiting for it", Voice(out))
    for tenth in range(130):
        progress.tick(tenth / 10)
    progress.done()
    lines = out.getvalue().splitlines()
    assert lines == [f"  ... waiting for it: {seconds} s" for seconds in (2, 7, 12)]


def test_on_a_terminal_it_is_one_line_that_goes_away() -> None:
    """Each second overwrites the last; the end leaves a clean line."""
    out = Terminal()
    progress = Progress("it", Voice(out))
    for passed in (2.0, 2.5, 3.0):
        progress.tick(passed)
    progress.done()
    assert out.getvalue() == "\r\x1b[K  ... it: 2 s\r\x1b[K  ... it: 3 s\r\x1b[K"


def test_a_person_who_has_gone_is_no_error() -> None:
    """A closed pipe swallows what is said."""
    reader, writer = os.pipe()
    os.close(reader)
    out = os.fdopen(writer, "w")
    Voice(out).say("hello")
    with contextlib.suppress(OSError):
        out.close()
