import json
from typing import Any

import httpx
import pytest

from fairlead_cli.errors import CommandError
from fairlead_cli.promotion import before, promote, rollback
from fairlead_cli.registry import RegisteredVersion, Registry


class Mlflow:
    """A registry of one model with versions 1 to 3, as far as these commands see it."""

    def __init__(
        self,
        champion: str | None = "2",
        *,
        alias: str = "champion",
        served: bool = True,
        statuses: dict[str, str] | None = None,
    ):
        self.champion = champion
        self.alias = alias
        self.served = served
        self.statuses = statuses or {}
        self.registry = Registry("http://mlflow", httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        call = request.url.path.removeprefix("/api/2.0/mlflow")
        if call == "/registered-models/alias":
            asked = json.loads(request.content)
            assert asked["alias"] == self.alias
            self.champion = asked["version"]
            return httpx.Response(200, json={})
        return httpx.Response(200, json=self.read(call, request))

    def read(self, call: str, request: httpx.Request) -> dict[str, Any]:
        if call == "/registered-models/get":
            aliases = [{"alias": self.alias, "version": self.champion}] if self.champion else []
            tags = [{"key": "fairlead.serve", "value": "true"}] if self.served else []
            if self.alias != "champion":
                tags.append({"key": "fairlead.alias", "value": self.alias})
            return {"registered_model": {"name": "churn", "aliases": aliases, "tags": tags}}
        if call == "/model-versions/get":
            return {"model_version": self.version(request.url.params["version"])}
        return {"model_versions": [self.version(number) for number in "123"]}

    def version(self, number: str) -> dict[str, Any]:
        status = self.statuses.get(number)
        return {"version": number, "tags": [{"key": "fairlead.status", "value": status}] if status else []}


def test_promoting_moves_the_alias_and_tells_from_where() -> None:
    """Nothing else is written."""
    mlflow = Mlflow()
    assert promote(mlflow.registry, "churn", "3", "champion") == "churn: champion 2 -> 3\n"
    assert mlflow.champion == "3"


def test_the_alias_is_the_one_that_the_model_is_served_by() -> None:
    """The tag fairlead.alias names it; without one it is champion. What is given at the terminal wins."""
    mlflow = Mlflow(alias="production", statuses={"2": "held"})
    assert promote(mlflow.registry, "churn", "3") == "churn: production 2 -> 3\n"
    assert rollback(mlflow.registry, "churn") == "churn: production 3 -> 2\n"
    assert promote(Mlflow().registry, "churn", "3") == "churn: champion 2 -> 3\n"
    with pytest.raises(CommandError, match="no alias 'other'"):
        rollback(mlflow.registry, "churn", "other")


def test_promoting_what_is_promoted_changes_nothing() -> None:
    """It is said, and is no error."""
    assert promote(Mlflow().registry, "churn", "2", "champion") == "churn: champion names version 2 already\n"


def test_a_model_that_is_not_served_is_told() -> None:
    """The alias moves all the same: serving may come later."""
    mlflow = Mlflow(None, served=False)
    said = promote(mlflow.registry, "churn", "1", "champion")
    assert said.startswith("churn: champion -> 1\nit is not served: set the tag fairlead.serve=true")
    assert mlflow.champion == "1"


def test_a_version_is_a_number() -> None:
    """An alias or a name is refused before anything is asked."""
    with pytest.raises(CommandError, match="give its number"):
        promote(Mlflow().registry, "churn", "latest", "champion")


def test_rolling_back_goes_to_what_the_operator_keeps_warm() -> None:
    """A held version before a retired one; refused ones never."""
    mlflow = Mlflow("2", statuses={"1": "held", "2": "serving", "3": "refused: damaged"})
    assert rollback(mlflow.registry, "churn", "champion") == "churn: champion 2 -> 1\n"


def test_there_may_be_nothing_to_roll_back_to() -> None:
    """No alias yet, or no version that was served before."""
    with pytest.raises(CommandError, match="nothing was promoted yet"):
        rollback(Mlflow(None).registry, "churn", "champion")
    with pytest.raises(CommandError, match="fairlead promote NAME VERSION"):
        rollback(Mlflow("2", statuses={"3": "retired (refused: damaged)"}).registry, "churn", "champion")


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ({"1": "retired", "2": "held", "3": "retired"}, "2"),
        ({"1": "held", "2": "serving (failed on one replica)"}, "2"),
        ({"1": "retired", "3": "retired (refused: damaged)"}, "1"),
        ({"1": "retired", "3": "retired"}, "3"),
        ({"1": "retired", "3": "withdrawn"}, "1"),
        ({"3": "retired", "4": "held", "1": "retired"}, "3"),
    ],
)
def test_the_version_before(statuses: dict[str, str], expected: str) -> None:
    """The one that serves, else the warm one, else the newest retired one; never the current one (4)."""
    versions = [RegisteredVersion(number, {"fairlead.status": text}, 0) for number, text in statuses.items()]
    assert before(versions, "4") == expected
