"""The documents that measures PUT, and what they wait for."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmark import control
from benchmark.processes import SubjectFailed
from benchmark.subjects.fairlead import Replica
from fairlead_server.models.parsing import parse


def test_documents_are_fairleads(tmp_path: Path) -> None:
    """They are read without a fault, and send everything to one version."""
    entry = control.entry({"1": tmp_path, "2": tmp_path}, "2", {"threads": 1})
    catalog, faults = parse(control.document(3, {"tiny": entry}), yaml=False)
    assert (catalog.generation, faults) == (3, {})
    assert catalog.models["tiny"].route.weights == {"2": 1.0}
    assert catalog.models["tiny"].versions["1"].settings == {"threads": 1}


def test_a_load_is_over_when_every_model_is_in_effect() -> None:
    """Of the generation that was put, or a later one."""
    holds = control.all_applied(4)
    assert holds({"generation": 4, "models": {"a": {"applied": 4}, "b": {"applied": 5}}})
    assert not holds({"generation": 4, "models": {"a": {"applied": 4}, "b": {"applied": 3}}})
    assert not holds({"generation": 3, "models": {}})


def test_workers_are_up_when_all_accept() -> None:
    """And when no other is still about to leave."""
    holds = control.accepting(2)
    assert holds({"workers": [{"state": "accepting"}, {"state": "accepting"}]})
    assert not holds({"workers": [{"state": "accepting"}, {"state": "starting"}]})
    assert not holds({"workers": [{"state": "accepting"}] * 3})


def test_a_refused_document_is_a_failure_with_its_reason() -> None:
    """What the replica said stands in it."""

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(409)
            self.end_headers()
            self.wfile.write(b"stored here with other bytes")

        def log_message(self, *_: Any) -> None:
            return None

    with http.server.HTTPServer(("127.0.0.1", 0), Refuses) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        replica = Replica("", "", "", f"127.0.0.1:{server.server_port}")
        with pytest.raises(SubjectFailed, match=r"409.*other bytes"):
            control.put(replica, b"{}")
        thread.join(5)
