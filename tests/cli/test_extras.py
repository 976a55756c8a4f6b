import subprocess
import sys

import pytest

from fairlead_cli import extras
from fairlead_cli.errors import CommandError


def test_what_is_installed_is_enough() -> None:
    """Nothing happens where every module can be found; none is imported by looking."""
    code = (
        "import sys; from fairlead_cli import extras; extras.require('server', 'operator', 'dev');"
        "print(*({'mlflow', 'onnxruntime', 'sklearn', 'fairlead_server', 'fairlead_operator'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "\n", "")


def test_what_is_missing_is_one_line_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """All missing extras are in it, the others are not."""
    monkeypatch.setitem(extras.NEEDED, "server", ("no_such_module",))
    monkeypatch.setitem(extras.NEEDED, "dev", ("msgspec", "no_such_module"))
    with pytest.raises(CommandError) as caught:
        extras.require("server", "operator", "dev")
    assert str(caught.value) == "not installed here: pip install 'fairlead[server,dev]'"
