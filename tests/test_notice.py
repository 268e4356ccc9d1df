"""``emoscope notice``: the class of a use, the notice for participants, and what both rest on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import command_line
from emoscope.files import shipped_table
from emoscope.report.page import uses as all_uses

#: Examples of the Commission's Guidelines on Article 5 and of recitals 18 and 44, and their class.
CASES = [
    ("agents' anger through webcam and voice", "staff", "prohibited"),
    ("hybrid teams", "staff", "prohibited"),
    ("probationary period", "staff", "prohibited"),
    ("whether its employees are happy", "staff", "prohibited"),
    ("in job interviews", "candidates", "prohibited"),
    ("whether pupils pay attention", "pupils", "prohibited"),
    ("in admission tests", "pupils", "prohibited"),
    ("customers are angry or impatient", "customers", "high risk, transparency duty"),
    ("suspicious customers", "customers", "high risk, transparency duty"),
    ("trains alone", "training", "high risk, transparency duty"),
    ("role play", "training", "high risk, transparency duty"),
    ("therapy", "medical", "high risk, transparency duty"),
    ("sentiment analysis", "text", "outside scope"),
    ("pilot or driver is tired", "fatigue", "outside scope"),
    ("eye movements in an online exam", "fatigue", "outside scope"),
]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*words: object) -> tuple[int, str, str]:
        status = command_line.run("notice", *words)
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize(("case", "use", "verdict"), CASES)
def test_examples_of_the_guidelines(told, case: str, use: str, verdict: str) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = told("--use", use)
    assert status == 0 and out.splitlines()[0].endswith(f"({use}): {verdict}")
    assert re.search(f"^- Example: .*{re.escape(case)}", out, re.MULTILINE)
    assert "Sources: " in out and "This is not legal advice." in out
    assert ("since 2 February 2025 (Article 5(1)(f))" in out) == (verdict == "prohibited")
    assert ("2 August 2026" in out and "2 December 2027" in out) == verdict.startswith("high risk")


def test_every_use_and_case_stands_somewhere() -> None:
    table, uses = shipped_table("ai_act.toml"), all_uses()
    assert {use["verdict"] for use in uses.values()} == set(table["verdicts"])
    assert all(use["sources"] and use["why"] for use in uses.values())
    assert len(CASES) == sum(len(use["cases"]) for use in uses.values())
    assert all(
        source["read"] and source["url"].startswith("https://") for source in table["source"]
    )


def test_the_notice_and_all_uses(told) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = told("--model", "free")
    assert status == 0 and out.startswith("# Notice")
    for said in ("not what anybody feels", "Model: emoscope-free.", "Commercial use: yes.",
                 "Article 50(3)", "[Name, address", "not read", "GDPR"):  # fmt: skip
        assert said in out, said
    assert out.count("\n## ") == len(all_uses()) + 1
    assert "None" not in out and "{" not in out


def test_files(told, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name in ("notice.html", "notice.md"):
        assert told("--out", tmp_path / name)[0] == 0
        assert "not legal advice" in (tmp_path / name).read_text("utf-8")
    page = (tmp_path / "notice.html").read_text("utf-8")
    assert page.startswith("<!doctype html>") and "src=" not in page and "pupils" in page.lower()
    assert 'class="use prohibited"' in page and "CC BY-NC-SA 4.0" in page
    status, _, err = told("--out", tmp_path / "notice.md")
    assert status == 2 and "--replace" in err
    assert told("--out", tmp_path / "a.pdf")[0] == 2
    status, _, err = told("--use", "boss")
    assert status == 2 and "staff, training, candidates" in err
