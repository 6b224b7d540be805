"""What goes into a bundle: no secret of a suite, and a suite that still imports."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from factories import run

from scimproxy.report.bundle import readme, suite_text, write


def test_a_suite_loses_secrets_and_keeps_references() -> None:
    suite = {
        "name": "of bjensen",
        "steps": [{"headers": {"Authorization": ["Bearer {{auth}}"], "Cookie": ["a=b"], "Accept": ["*/*"]}, "n": 1}],
        "environments": [{"initial_variables": {"auth": "Bearer abcdef", "token": ["x", 3], "user": "bjensen"}}],
    }
    made = json.loads(suite_text(json.dumps(suite).encode(), lambda text: text.replace("bjensen", "user1")))
    assert made["name"] == "of user1"
    assert made["steps"][0] == {
        "headers": {"Authorization": ["Bearer {{auth}}"], "Cookie": [""], "Accept": ["*/*"]}, "n": 1,
    }  # fmt: skip
    assert made["environments"][0]["initial_variables"] == {"auth": "", "token": ["", 3], "user": "user1"}


def test_the_zip_and_its_readme(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    text = readme(run(), ["suite.json"], kept_names=False)
    with path.open("wb") as file:
        write(file, {"README.txt": [text], "a": ["1", "é"]})
    with zipfile.ZipFile(path) as made:
        assert made.read("a").decode() == "1é"
        assert "scimproxy run suite.json" in made.read("README.txt").decode()
    assert list(tmp_path.iterdir()) == [path]
