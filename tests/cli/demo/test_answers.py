import json
from pathlib import Path

from fairlead_cli.demo.answers import AnswerFile
from fairlead_cli.demo.figures import Answer


def line(sample: int) -> str:
    return (
        json.dumps({"protocol": "http", "sample": sample, "due": 1.0, "done": 2.0, "version": "1", "label": 3}) + "\n"
    )


def test_answers_are_read_once_as_they_come(tmp_path: Path) -> None:
    """A line that is half written waits; an old file's lines are not read."""
    path = tmp_path / "answers.jsonl"
    path.write_text(line(99))
    answers = AnswerFile(path)
    assert answers.read() == []
    with path.open("w", buffering=1) as out:
        out.write(line(0) + line(1)[:20])
        out.flush()
        assert [answer.sample for answer in answers.read()] == [0]
        out.write(line(1)[20:])
        assert answers.read() == [Answer("http", 1, 1.0, 2.0, "1", 3)]
    assert answers.read() == []
    assert [answer.sample for answer in answers.all] == [0, 1]
