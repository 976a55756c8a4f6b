"""The README names only what is there. Its clients' commands are run by the end-to-end tests, a cluster's in pods."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FENCED = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
SHELL = [line.split("#")[0].strip() for kind, text in FENCED if kind == "bash" for line in text.splitlines() if line]


def test_every_link_leads_somewhere() -> None:
    """Relative links name files of the repository."""
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).is_file()] == []


def test_the_two_commands_are_there() -> None:
    """`hack/demo` and `hack/test` come first, and every script that is named can be run."""
    scripts = [line.split()[0] for line in SHELL if line.startswith("hack/")]
    assert scripts[:2] == ["hack/demo", "hack/test"]
    assert all((ROOT / script).stat().st_mode & 0o111 for script in scripts)


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("fairlead ")])
def test_every_command_knows_its_options(line: str) -> None:
    """Each subcommand exists, and its help knows every option that the README gives it."""
    _, command, *words = line.split()
    ended = subprocess.run(
        [sys.executable, "-m", "fairlead_cli", command, "--help"], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0
    assert [word for word in words if word.startswith("--") and word not in ended.stdout] == []


@pytest.mark.parametrize("text", [text for kind, text in FENCED if kind == "python"])
def test_python_is_python(text: str) -> None:
    """The examples compile."""
    compile(text, "README.md", "exec")


def test_extras_that_are_named_exist() -> None:
    """`fairlead[NAME]` names an extra of the distribution."""
    extras = set(re.findall(r"^(\w+) = \[$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    named = set(re.findall(r"fairlead\[(\w+)\]", README))
    assert named
    assert named <= extras
