"""A check as one self-contained HTML page, several checks side by side, and the badge of one."""

from collections.abc import Sequence

from ..files import said
from ..report.page import MAX_SOUND, playable, rendered, template
from . import Checked
from .tests import Outcome

OUTCOMES = ("failed", "skipped", "passed")
N_OPEN = 5  # failed tests whose details are open at first


def render(checked: Checked) -> str:
    """The page of one model: what failed first, then every test; clips that broke them play."""
    ordered = sorted(checked.outcomes, key=lambda test: OUTCOMES.index(test.word))
    sounds, size = dict[str, str](), 0
    for path in dict.fromkeys(clip.path for test in checked.failed for clip in test.clips):
        if size < MAX_SOUND and (sound := playable(path)):
            sounds[path], size = sound, size + len(sound)
    numbers = {path: number for number, path in enumerate(sounds)}
    return rendered(
        "check.html.j2", "report.js", checked=checked, ordered=ordered, n_open=N_OPEN, sounds=sounds,
        numbers=numbers, badge=badge_text(checked),
    )  # fmt: skip


def table(checks: Sequence[Checked], links: Sequence[str]) -> str:
    """The page of several models side by side, in whose head `links` lead to their own pages."""
    return rendered("checks.html.j2", "report.js", checks=checks, links=links, rows=rows(checks))


def rows(checks: Sequence[Checked]) -> dict[str, list[Outcome | None]]:
    """The outcomes of every test, by its name; None for a model that it was not made with."""
    by_name = [{test.name: test for test in checked.outcomes} for checked in checks]
    names = dict.fromkeys(name for tests in by_name for name in tests)
    return {name: [tests.get(name) for tests in by_name] for name in names}


def badge_text(checked: Checked) -> str:
    """What a model card says of a check, in one line."""
    return said("badge", checked=checked)


def badge(checked: Checked) -> str:
    """The line as an SVG image, which is blue only where nothing failed."""
    passed, failed, _ = checked.counts()
    return template("badge.svg.j2").render(
        text=badge_text(checked), short=f"{passed} of {passed + failed} tests passed",
        colour="#b4530a" if failed else "#0b6e8f",
    )  # fmt: skip
