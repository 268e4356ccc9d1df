"""What the commands print: results to standard output, all else to standard error."""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from statistics import median
from typing import TYPE_CHECKING, Any

from rich import box
from rich import progress as rich_progress
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..errors import AudioError, EmoscopeError
from ..files import printable
from ..prediction.formats import sounds
from ..prediction.prediction import SILENCE
from ..prediction.summary import clock
from .commands import running

if TYPE_CHECKING:
    from ..corpus import SpeakerOrigin
    from ..evaluation.result import Result, Run
    from ..prediction import Prediction, Predictor
    from ..prediction.microphone import Update
    from ..reproduction import Reproduction

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

MANY = 10  # more recordings than this that were left out are also counted by reason
# Columns of the leaderboard beside the model; a number takes five characters.
COLUMNS = ("UAR", "95 % interval", "accuracy", "F1", "leaky UAR", "leak gap", "training")
# Those that a narrow terminal goes without, in this order; the report has them all.
DISPENSABLE = ("training", "F1", "accuracy", "95 % interval", "leaky UAR")
MODEL_WIDTH = 12


def say(text: str) -> None:
    """One line of results, as it is."""
    out.print(text, markup=False, soft_wrap=not out.is_terminal)


def say_all(template: str, **values: Any) -> None:
    """The lines of results that a template of reports has."""
    from ..report import page

    for line in page.template(f"{template}.txt.j2").render(**values).splitlines():
        say(line)


def note(text: str) -> None:
    """What should be known beside the results."""
    if not running.quiet:
        complain(text)


def complain(text: str) -> None:
    """What went wrong, as it is."""
    err.print(printable(text), markup=False, soft_wrap=not err.is_terminal)


def say_error(error: Exception) -> None:
    """Why the command ended; where from, when asked."""
    if running.verbose and not running.quiet:
        err.print_exception()
    told = Text.assemble(("error:", "bold red"), " ", printable(str(error)))
    err.print(told, soft_wrap=not err.is_terminal)


def _animated() -> bool:
    return err.is_terminal and not running.quiet


def _bars(*columns: rich_progress.ProgressColumn, **options: bool) -> rich_progress.Progress:
    shown = rich_progress.TextColumn("{task.description}"), rich_progress.BarColumn(), *columns
    left = rich_progress.TimeRemainingColumn()
    # What is printed meanwhile goes through the bar's console, but never what a pipe or file takes.
    options = {"redirect_stdout": sys.stdout.isatty(), **options}
    return rich_progress.Progress(*shown, left, console=err, **options)  # type: ignore[arg-type]


@contextmanager
def progress(description: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error; yields a callback that takes units done and in all."""
    bar = _bars(rich_progress.MofNCompleteColumn(), transient=True, disable=not _animated())
    with _timed(description), bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def listening(predictor: "Predictor") -> Iterator[None]:
    """A bar of how much of each recording was heard and, below, its newest labels, not yet final."""
    from ..prediction.progress import Heard, Progress

    bar, newest = _bars(rich_progress.TextColumn("{task.fields[at]}")), Text(no_wrap=True)
    task = bar.add_task("listening", total=None, at="")

    def show(heard: Heard) -> None:
        words = f"listening to {printable(heard.name)}"
        if words != bar.tasks[task].description:
            bar.reset(task, description=words)
        at = " of ".join(map(clock, filter(None, (heard.seconds, heard.length))))
        bar.update(task, completed=heard.seconds, total=heard.length, at=at)
        newest.plain = _newest(heard.found) if heard.found else ""

    Progress(predictor, show)
    with Live(Group(bar, newest), console=err, transient=True, redirect_stdout=out.is_terminal):
        yield


def _newest(found: "Prediction") -> str:
    lines = ["  provisional; the whole recording decides:"]
    for part in [part for part in found.segments if part.is_speech][-5:]:
        told = f"{part.emotion} {part.confidence:.0%}{'; uncertain' * part.uncertain}"
        lines.append(f"{clock(part.start):>9}  {': '.join(filter(None, (part.speaker, told)))}")
    return "\n".join(lines)


@contextmanager
def transfers() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar of bytes for each file on standard error; yields what a download reports to."""
    columns = rich_progress.DownloadColumn(), rich_progress.TransferSpeedColumn()
    tasks: dict[str, rich_progress.TaskID] = {}
    with _bars(*columns, disable=running.quiet) as bars:

        def report(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield report


@contextmanager
def step(description: str) -> Iterator[None]:
    """Something that takes a while and does not say how far it is."""
    with _timed(description), nullcontext() if running.quiet else err.status(description):
        yield


@contextmanager
def _timed(description: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    if running.verbose:
        note(f"{description}: {time.perf_counter() - begun:.1f} s")


def say_rejected(rejected: Sequence[AudioError]) -> None:
    """Name every recording that was left out, with its reason, on standard error."""
    if rejected:
        err.print(f"[bold red]{len(rejected)} left out:[/]")
    for bad in rejected:
        complain(f"  {bad}")
    reasons = Counter(bad.reason for bad in rejected)
    if len(rejected) > MANY and len(reasons) <= MANY:
        err.print("[bold]by reason:[/]")
        for reason, count in reasons.most_common():
            complain(f"  {count} x {reason}")


@contextmanager
def accounted(rejected: Sequence[AudioError], *, resumable: bool = True) -> Iterator[None]:
    """Name what was left out before an error that it may have caused; say what is `resumable`."""
    try:
        yield
    except EmoscopeError:
        say_rejected(rejected)
        raise
    except KeyboardInterrupt:
        if resumable:
            err.print("stopped; run the same command again to resume")
        raise


def say_comparison(board: "Leaderboard", result: "Result") -> None:
    """The table, which models are told apart, and what unseen sentences cost."""
    from ..report import summary

    if why := result.config.get("no_leak_gap"):
        board.leak_protocol = None
        note(f"leak gap not measured: {why}")
    out.print(board.table())
    say(summary.verdict(result))
    gap = summary.script_gap(result, result.leaderboard())
    for said in (*filter(None, [gap]), *summary.channel_gains(result, result.leaderboard())):
        say(said.text)
    if reason := result.config.get("no_script_gap"):
        note(f"script gap not measured: {reason}")


def say_findings(headline: str, findings: Sequence[Any]) -> None:
    """An audit's outcome and, below it, each finding with its weight."""
    say(headline)
    colours = {"leak": "bold red", "caution": "yellow", "note": "dim"}
    for finding in findings:
        weight = (f"  {finding.severity:<8}", colours[finding.severity])
        told = Text.assemble(weight, f"{finding.kind}: {printable(finding.text)}")
        out.print(told, soft_wrap=not out.is_terminal)


def say_reproduction(outcome: "Reproduction") -> None:
    """Published, reproduced, training and honest accuracy of every row, then the verdicts."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold")
    for heading in ("published", "reproduced", "training", "unseen"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in outcome.rows:
        cells = (row.published, row.reproduced, row.training, row.honest)
        table.add_row(row.model, *(f"{accuracy:.1f}" for accuracy in cells))
    out.print(table)
    about = outcome.about
    for text in about["notes"]:
        note(text)
    say_all("reproduced", about=about, verdicts=outcome.verdicts)


class Leaderboard:
    """The table of a comparison, redrawn on a terminal as models finish; elsewhere a line for each."""

    def __init__(self, protocol: str, leak_protocol: str | None, speakers: "SpeakerOrigin") -> None:
        self.protocol, self.leak_protocol, self.speakers = protocol, leak_protocol, speakers
        self.runs: dict[str, dict[str, Run]] = defaultdict(dict)
        self._bar = _bars(rich_progress.TaskProgressColumn())
        self._task = self._bar.add_task("training and testing", total=None)

    def __enter__(self) -> "Leaderboard":
        self._live = Live(self, console=err, transient=True, auto_refresh=err.is_terminal)
        if _animated():
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if _animated():
            self._live.stop()

    def on_run(self, run: "Run") -> None:
        """Take in one finished run."""
        self.runs[run.model][run.protocol] = run
        if not err.is_terminal:
            scores = f"UAR {run.uar:.3f}  accuracy {run.accuracy:.3f}"
            cost = f"trained in {run.fit_seconds:.1f} s"
            note(f"{run.model:<10} {run.protocol:<16} {scores}  {cost}")

    def on_unit(self, done: int, total: int) -> None:
        """Take in how much is done."""
        self._bar.update(self._task, completed=done, total=total)

    def __rich__(self) -> Group:
        return Group(self.table(), self._bar)

    def table(self) -> Table:
        """The table as it stands, highest UAR first."""
        from .. import unseen
        from ..evaluation.statistics import no_interval
        from ..protocols import shares_speakers

        tested = unseen.WORDS[self.speakers.held_out(self.protocol)].capitalize()
        if shares_speakers(self.protocol):
            tested = "Random folds, the same speakers in training and test"
        title = f"{tested}, protocol {self.protocol}"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("model", no_wrap=True)
        columns = [name for name in COLUMNS if self.leak_protocol or not name.startswith("leak")]
        for name in DISPENSABLE:
            width = sum(max(len(column), 5) + 2 for column in columns) + MODEL_WIDTH
            if name in columns and width > out.width:
                columns.remove(name)
        for name in columns:
            table.add_column(name, justify="right", no_wrap=True)
        done = [runs[self.protocol] for runs in self.runs.values() if self.protocol in runs]
        captions = [no_interval(run.n_speakers) for run in done[:1] if run.uar_low is None]
        if self.leak_protocol:
            captions += [f"leaky: {self.leak_protocol}, the same speakers in training and test"]
        table.caption, table.caption_justify = "\n".join(filter(None, captions)) or None, "left"

        uar = {run.model: run.uar for run in done}
        for model in sorted(self.runs, key=lambda model: -uar.get(model, -1.0)):
            cells = self._cells(self.runs[model])
            table.add_row(model, *(cells[name] for name in columns))
        return table

    def _cells(self, by_protocol: "dict[str, Run]") -> dict[str, str]:
        run = by_protocol.get(self.protocol)
        leak = by_protocol.get(self.leak_protocol or "")
        cells = dict.fromkeys(COLUMNS, "…")
        if run is not None:
            span = "—" if run.uar_low is None else f"{run.uar_low:.3f}–{run.uar_high:.3f}"
            cells |= {"UAR": f"[bold]{run.uar:.3f}[/]", "95 % interval": span}
            cells |= {"accuracy": f"{run.accuracy:.3f}", "F1": f"{run.macro_f1:.3f}"}
        if leak is not None:
            cells["leaky UAR"] = f"{leak.uar:.3f}"
        if run is not None and leak is not None:
            cells["leak gap"] = f"[yellow]{leak.uar - run.uar:+.3f}[/]"
        counted = (self.protocol, self.leak_protocol)
        seconds = sum(r.fit_seconds for name, r in by_protocol.items() if name in counted)
        cells["training"] = f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
        return cells


def show_live(
    updates: "Iterable[Update]", latencies: Sequence[float], console: Console | None = None
) -> None:
    """Draw what is heard until it ends or Ctrl+C is pressed; elsewhere one line for each label."""
    from ..report import page
    from ..report.plots.style import EMOTION_COLOURS

    template = page.template("live.txt.j2")
    colours = {emotion: dark for emotion, (_, dark) in EMOTION_COLOURS.items()}
    shared = {"clock": clock, "colours": colours, "escape": escape, "silence": SILENCE}
    console = console or Console()
    past: list[str] = []
    try:
        if not console.is_terminal:
            for update in updates:
                if update.latency is not None and update.emotion:
                    sure = update.probabilities[update.emotion]
                    label = f"{update.emotion:<10} {sure:4.0%}  {sounds(update.probabilities)}"
                    console.print(f"{update.seconds:8.1f} s  {label}".rstrip())
            return
        with Live(console=console, auto_refresh=False, transient=True) as live:
            for update in updates:
                while len(past) < int(update.seconds):  # one for every second
                    past.append(update.emotion if update.speaking and update.emotion else SILENCE)
                latency = median(latencies) if latencies else None
                view = template.render(
                    heard=update, minute=past[-60:], latency=latency, sounds=sounds, **shared
                )
                live.update(Text.from_markup(view), refresh=True)
    except KeyboardInterrupt:
        return
