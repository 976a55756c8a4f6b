"""models.from_yaml: YAML that people write, read strictly."""

from __future__ import annotations

import pytest

from fairlead_server.models.from_yaml import YamlFault, read


def test_plain_values_come_out() -> None:
    """Ordinary YAML, merge keys too, gives plain values."""
    assert read(b"base: &b {x: 1}\nmore: {<<: *b, y: [a]}") == {"base": {"x": 1}, "more": {"x": 1, "y": ["a"]}}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"a: 1\na: 2", "the key 'a' is given twice, line 2"),
        (b"x: {b: {c: 1, c: 2}}", "the key 'c' is given twice, line 1"),
        (b"\n" + b"[" * 100_000, "nested deeper than 64 levels, line 2"),
        (b"- " * 100_000, "nested deeper than 64 levels, line 1"),
        (b"a: [1", "line 1"),
        (b"a: 2024-99-99", "month must be in 1..12"),
        (b"!!python/name:os.system x", "could not determine a constructor"),
    ],
)
def test_faults_say_the_line(data: bytes, told: str) -> None:
    """What is refused says where and why."""
    with pytest.raises(YamlFault, match=told):
        read(data)
