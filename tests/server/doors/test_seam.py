from __future__ import annotations

from typing import Any

import pytest

from fairlead_server.doors.seam import terms_of
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import NO_TERMS, Terms

OURS, PROXY = "x-request-timeout-ms", "x-envoy-expected-rq-timeout-ms"


@pytest.mark.parametrize(
    ("parameters", "headers", "expected"),
    [
        ({}, {}, NO_TERMS),
        ({"timeout": 0, "priority": 0}, {"host": "x"}, NO_TERMS),
        ({"timeout": 2_000_000, "priority": 3}, {}, Terms(102.0, 3)),
        ({}, {OURS: "1500"}, Terms(101.5)),
        ({}, {PROXY: "1500"}, Terms(101.5)),
        ({"timeout": 2_000_000}, {OURS: "1500", PROXY: "9000"}, Terms(101.5)),
        ({"timeout": 1_000_000}, {OURS: "1500", PROXY: "9000"}, Terms(101.0)),
        ({}, {OURS: "1500", PROXY: "500"}, Terms(100.5)),
        ({"priority": 2**64 - 1}, {}, Terms(None, 2**64 - 1)),
    ],
)
def test_the_nearest_deadline_counts(parameters: dict[str, Any], headers: dict[str, str], expected: Terms) -> None:
    """Microseconds from the parameter, milliseconds from our header and from a proxy's."""
    assert terms_of(parameters, headers, 100.0) == expected


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "", "1e3", " 5", "٣", "+5", "5ms"])
def test_a_malformed_time_is_the_client_s_fault_only_where_it_is_the_client_s(value: str) -> None:
    """Ours is refused; a proxy's is passed over, for the client does not know of it."""
    with pytest.raises(ServingError, match=OURS) as caught:
        terms_of({}, {OURS: value}, 100.0)
    assert caught.value.kind is Kind.INVALID
    assert terms_of({}, {PROXY: value}, 100.0) == NO_TERMS


def test_a_time_without_end_is_a_time() -> None:
    """However many digits it has."""
    deadline = terms_of({}, {OURS: "9" * 60_000}, 100.0).deadline
    assert deadline is not None
    assert deadline > 1e9


@pytest.mark.parametrize("name", ["timeout", "priority"])
@pytest.mark.parametrize("value", [-1, 1.5, "1", True, None, [1], 2**64])
def test_parameters_that_are_no_whole_numbers_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ServingError, match=name) as caught:
        terms_of({name: value}, {}, 100.0)
    assert caught.value.kind is Kind.INVALID
