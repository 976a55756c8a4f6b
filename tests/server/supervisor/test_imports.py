"""What the supervisor must not load."""

from __future__ import annotations

import subprocess
import sys


def test_the_supervisor_imports_no_heavy_library() -> None:
    """Neither numpy, onnxruntime nor grpc, and no ray either: it stays small, and outlives what they do."""
    code = (
        "import sys, fairlead_server.app.command, fairlead_server.app.process, fairlead_server.supervisor.main\n"
        "import fairlead_server.doors.control, fairlead_server.doors.metrics, fairlead_server.doors.http_server\n"
        "print(sorted({'numpy', 'onnxruntime', 'grpc', 'ray', 'fsspec'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert found.stdout.strip() == "[]"
