"""The command that tests a model."""

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from .. import config
from ..errors import CorpusError
from ..files import printable, write_together
from . import commands, keeping, terminal
from .commands import BUNDLED, COMPARING, command

if TYPE_CHECKING:
    from ..checking import Checked, Outcome
    from ..corpus import Corpus

FILES = ("check.json", "answers.csv", "report.html")


@command(COMPARING, configurable=True)
def check(
    model: str, source: commands.Source = BUNDLED, *, against: list[str] | None = None,
    quick: bool = False, seed: int = 0, jobs: int | None = None,
    out: Path = Path("emoscope-check"),
) -> None:  # fmt: skip
    """Test a model: correctness, fairness, robustness and behaviour, each test with its threshold."""
    from .. import checking, modelfile
    from ..checking import page

    names = [model, *(against or ())]
    keeping.claim(out, *FILES, record=config.FILE)
    words = source.reading["labels"]
    models = [commands.said(modelfile.load(name, labels=words)) for name in names]
    corpus, found, pages = _corpus(source), list[checking.Checked](), list[str]()
    files = keeping.options_of(out / config.FILE)
    for one in models:
        with terminal.progress(f"checking {printable(one.card.name)}") as tick:
            checked = checking.check(
                one, corpus, quick=quick, seed=seed, jobs=jobs, progress=tick, found=_said
            )
        found.append(checked)
        folder = out if len(models) == 1 else out / f"{len(found)}-{printable(checked.model)}"
        files[folder / "check.json"] = checked.to_json()
        files[folder / "answers.csv"] = checked.answers.to_csv(index=False, lineterminator="\n")
        files[folder / "report.html"] = page.render(checked)
        files[folder / "badge.svg"] = page.badge(checked)
        pages.append(f"{folder.name}/report.html")
    if len(models) > 1:
        files[out / "report.html"] = page.table(found, pages)
    write_together(files)
    for note in dict.fromkeys(note for one in found for note in one.notes):
        terminal.note(f"note: {note}")
    _say(found)
    terminal.say(f"results: {out / 'report.html'}")
    rejected = dict.fromkeys(reason for one in found for reason in one.rejected)
    for reason in rejected:
        terminal.complain(f"left out: {reason}")
    if rejected or any(one.failed for one in found):
        sys.exit(1)


def _corpus(source: commands.Source) -> "Corpus | None":
    """What is named; without a name the corpora below the folder that a variable names, or none."""
    from .. import checking

    if places := source.places or tuple(checking.corpora_in(os.environ.get(checking.VARIABLE))):
        return dataclasses.replace(source, places=places).corpus()
    if source.emotions or any(v for k, v in source.reading.items() if k != "labels"):
        raise CorpusError("options that say how to read a corpus need one; name it")
    return None


def _said(outcomes: "Sequence[Outcome]") -> None:
    """What failed, as soon as it is known."""
    for one in outcomes:
        if one.failed:
            terminal.note(f"failed: {one.name}: {one.title}: {one.measured}")


def _say(found: "Sequence[Checked]") -> None:
    """How many tests of each group passed, and what failed."""
    for one in found:
        table = Table(title=printable(one.model), title_justify="left", box=box.SIMPLE_HEAD)
        for heading in ("tests", "passed", "failed", "skipped"):
            table.add_column(heading, justify="left" if heading == "tests" else "right")
        for group in dict.fromkeys(outcome.group for outcome in one.outcomes):
            table.add_row(group, *map(str, one.counts(group)))
        table.add_row("[bold]all[/]", *(f"[bold]{count}[/]" for count in one.counts()))
        terminal.out.print(table)
        for outcome in one.failed:
            terminal.say(f"  failed {printable(outcome.name)}")
            terminal.say(f"    {printable(outcome.title)}: {outcome.measured}")
        if one.memory:
            terminal.say(f"{one.memory} tests passed on clips of its training: memory, no proof")
