"""The command ``emoscope predict``.

It stands apart from the other commands and reads its arguments with argparse because it has to
start at once: the library behind the others takes longer to import than a label takes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import AudioError, EmoscopeError, UnknownNameError
from ..files import printable, refuse_overwrite, write_atomically
from ..prediction import Prediction, Predictor
from ..prediction.formats import (
    TIMELINES,
    csv_text,
    format_of,
    json_text,
    table_text,
    timeline_text,
)
from ..prediction.output import Output, predict_files
from . import leave_standard_output, os_reason

LITTLE = 1_000_000
"""Bytes of recordings: ten seconds of sound as it comes from a recorder (48 kHz, 16 bits)."""
EXAMPLES = """examples:
  emoscope predict speech.wav
  emoscope predict folder --format csv --out all.csv       run again, it goes on
  emoscope predict interview.mp4 --timeline
  emoscope predict interview.mp4 --format textgrid --out interview.TextGrid
  emoscope predict interview.mp4 --picture interview.png

exit status: 0 everything done; 1 some recordings were left out, each named; 2 usage
"""


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    found = argparse.ArgumentParser(
        prog="emoscope predict",
        description="Recognise the emotion of recordings: label, confidence, probabilities.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = found.add_argument
    add("files", nargs="+", metavar="FILE", help="recordings, folders or patterns")
    add("--model", metavar="M", help="a .emoscope file; by default the shipped model")
    add("--timeline", action="store_true", help="divide each recording into labelled segments")
    add(
        "--format",
        metavar="NAME",
        help="table, json (one object a line), csv; of one timeline: textgrid, eaf, srt, vtt; by "
        "default as the file of --out ends, else table",
    )
    add(
        "--out",
        metavar="PATH",
        help="a file; json and csv are continued when run again, by the same model; recordings are "
        "known by their names",
    )
    add("--picture", metavar="PATH", help="draw the timeline of one recording (.png, .svg, .pdf)")
    add(
        "--adapt",
        action=argparse.BooleanOptionalAction,
        help="judge the recordings relative to each other; by itself where it was measured to help",
    )
    add("--jobs", type=_positive, metavar="N", help="recordings at a time; by default all cores")
    add("-q", "--quiet", action="store_true", help="results and errors alone")
    add("-v", "--verbose", action="store_true", help="also how long it took, and origins of errors")
    return found


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    given = parser().parse_args(arguments)
    begun = time.perf_counter()
    try:
        status = _run(given)
        if given.verbose:
            print(f"judging recordings: {time.perf_counter() - begun:.1f} s", file=sys.stderr)
        return status
    except EmoscopeError as error:
        if given.verbose:
            import traceback

            traceback.print_exc()
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough
        leave_standard_output()
        return 0
    except OSError as error:
        leave_standard_output()
        print(f"error: {os_reason(error)}", file=sys.stderr)
        return 2


def _run(given: argparse.Namespace) -> int:
    from ..audio import opening

    paths: list[str] = []
    errors: list[EmoscopeError] = []
    for name in given.files:
        try:
            paths += opening.find([name])
        except AudioError as error:
            errors.append(error)
    paths = list(dict.fromkeys(paths))
    for made in filter(None, (given.out, given.picture)):
        refuse_overwrite(made, *paths)
    predictor = Predictor(given.model, optimise=not _is_little(paths))
    if given.picture and len(paths) != 1:
        raise EmoscopeError(f"--picture draws one recording; {len(paths)} were given")
    writer = Writer(
        given.format or format_of(given.out),
        given.out,
        predictor,
        timeline=given.timeline,
        n_files=len(paths),
    )
    timeline = given.timeline or writer.needs_timeline or bool(given.picture)
    if given.adapt and timeline:
        raise EmoscopeError("--adapt judges whole recordings; it does not go with a timeline")
    adapt = False if timeline else given.adapt
    outcomes = predict_files(
        predictor, paths, timeline=timeline, adapt=adapt, jobs=given.jobs, output=writer.output
    )
    if given.picture and writer.output and printable(paths[0]) in writer.output.done:
        # The file goes on without it; the picture has to be drawn all the same.
        outcomes = predictor.predict_many(paths, timeline=True, jobs=given.jobs)
    adapted = 0
    held = len({printable(path) for path in paths} & writer.output.done) if writer.output else 0
    if held and not given.quiet:
        print(f"{given.out}: holds {held} of {len(paths)} recordings already", file=sys.stderr)
    with writer, _progress(0 if given.quiet else len(paths), held) as tick:
        for outcome in outcomes:
            tick()
            if isinstance(outcome, Prediction):
                adapted += any(said.startswith("adapted:") for said in outcome.warnings)
                writer.show(outcome)
                if given.picture:
                    _draw(outcome, given.picture)
            else:
                errors.append(outcome)
    if adapted and adapt is None and not given.quiet:
        print(
            f"adapted: {adapted} recordings were judged relative to each other, which was measured "
            "to help with so many where they hold all emotions; --no-adapt judges each alone",
            file=sys.stderr,
        )
    for left_out in errors:
        print(f"left out: {printable(str(left_out))}", file=sys.stderr)
    return 1 if errors else 0


class Writer:
    """What the command ``predict`` gives out: lines on standard output, or a file.

    Parameters
    ----------
    format : str
        ``table``, ``json``, ``csv``, or a name from :data:`TIMELINES`.
    path : path-like, optional
        Where to write; without it, standard output.
    predictor : Predictor
        Whose predictions they are.
    timeline : bool
        Whether segments are shown.
    n_files : int
        How many recordings there are; a format of one timeline takes one.

    Raises
    ------
    UnknownNameError
        When there is no such format.
    EmoscopeError
        When a format of one timeline is to hold several.

    Attributes
    ----------
    needs_timeline : bool
        Whether the format cannot do without segments.
    output : Output or None
        The file that grows and can be continued, for json and csv.
    """

    def __init__(
        self,
        format: str,
        path: str | os.PathLike[str] | None,
        predictor: Predictor,
        *,
        timeline: bool,
        n_files: int,
    ) -> None:
        if format not in ("table", "json", "csv", *TIMELINES):
            raise UnknownNameError("format", format, ("table", "json", "csv", *TIMELINES))
        self.needs_timeline = format in TIMELINES
        if self.needs_timeline and n_files > 1:
            raise EmoscopeError(f"{format} holds one recording; {n_files} were given")
        if format == "table" and path is not None:
            raise EmoscopeError(f"{path}: a table is for the eye; name a .csv or .json file")
        self.format, self.path, self.timeline = format, path, timeline
        self.emotions, self.model = predictor.emotions, predictor.model.identity
        self.output: Output | None = None
        if path is not None and format in ("json", "csv"):
            self.output = Output(path, format, self.emotions, model=self.model, timeline=timeline)

    def __enter__(self) -> Writer:
        if self.format == "csv" and self.output is None:
            self._print(self._csv([], header=True))
        return self

    def __exit__(self, *error: Any) -> None:
        if self.output is not None:
            self.output.__exit__(*error)

    def show(self, prediction: Prediction) -> None:
        """Give out one recording, unless :attr:`output` has it already."""
        if self.output is not None:
            return
        if self.format == "json":
            text = json_text(prediction, self.model, timeline=self.timeline)
        elif self.format == "csv":
            text = self._csv([prediction], header=False)
        elif self.needs_timeline:
            text = timeline_text(prediction, self.format)
        else:
            text = table_text(prediction, timeline=self.timeline)
        self._print(text)

    def _csv(self, predictions: Sequence[Prediction], *, header: bool) -> str:
        return csv_text(
            predictions, self.emotions, timeline=self.timeline, model=self.model, header=header
        )

    def _print(self, text: str) -> None:
        if self.path is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            try:
                write_atomically(self.path, text)
            except OSError as error:
                raise EmoscopeError(f"{self.path}: cannot be written: {error.strerror}") from error


def _is_little(paths: Sequence[str]) -> bool:
    """Whether there is so little to judge that preparing the model would take longer."""
    sizes = [os.path.getsize(path) for path in paths if os.path.isfile(path)]
    return sum(sizes) < LITTLE


@contextlib.contextmanager
def _progress(count: int, done: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error for many recordings, when somebody is looking."""
    if count - done < 10 or not sys.stderr.isatty():
        yield lambda: None
        return
    from .terminal import progress

    with progress("judging recordings") as bar:

        def tick() -> None:
            nonlocal done
            done += 1
            bar(done, count)

        yield tick


def _draw(prediction: Prediction, path: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ..report import plots

    with plots.style():
        figure = Figure(figsize=(12, 3), layout="constrained", dpi=150)
        FigureCanvasAgg(figure)
        ax = figure.subplots()
        plots.timeline([part.to_dict() for part in prediction.segments if part.is_speech], ax=ax)
        ax.set_xlim(0, prediction.segments[-1].end)
        content = io.BytesIO()
        try:
            figure.savefig(content, format=Path(path).suffix.lstrip(".") or "png")
            write_atomically(path, content.getvalue())
        except (OSError, ValueError) as error:
            raise EmoscopeError(f"{path}: the picture cannot be written: {error}") from error


def _positive(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)
