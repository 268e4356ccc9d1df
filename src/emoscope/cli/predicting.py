"""The commands that recognise emotion.

``predict`` starts at once: what the others need is imported inside them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ..audio import Excerpt, opening
from ..errors import AudioError, EmoscopeError, UnknownNameError
from ..files import printable, refuse_overwrite, write_atomically
from ..modelfile.card import Card
from ..prediction import Prediction, Predictor, formats
from ..prediction import sources as reading
from ..prediction.formats import TIMELINES
from ..prediction.output import Output, predict_files, require_offsets
from ..prediction.prediction import TOGETHER
from ..prediction.turns import CHANNEL, SPEAKER, Division
from ..unseen import OPTIMISTIC
from . import commands, keeping
from .commands import RECOGNISING, command

ONE_CHANNEL = (
    "its two channels hold different speech, but a picture shows one: "
    "choose --channel left, right or mix"
)
RELATIVE = (
    "were labelled relative to the others in their folder, assuming one speaker or room; "
    "--same-source assumes that of all recordings, --each-alone of none"
)
LITTLE = 1_000_000  # bytes: ten seconds as they come from a recorder (48 kHz, 16 bits)


@command(RECOGNISING)
def predict(
    files: list[str], *, model: str | None = None, label: list[str] | None = None,
    labels: Path | None = None, timeline: bool = False, segments: str | None = None,
    channel: str | None = None, format: str | None = None, out: str | None = None,
    picture: str | None = None, same_source: bool = False, each_alone: bool = False,
    by: str | None = None, speakers: int | None = None,
    jobs: int | None = None,
) -> None:  # fmt: skip
    """Recognise emotion in recordings: label, confidence, probabilities, timeline."""
    division = Division(by or CHANNEL, speakers)
    timeline = timeline or division.by == SPEAKER
    paths, errors = _find(files)
    format = format or formats.format_of(out)
    sources: Sequence[str | Excerpt] = paths
    if channel:
        sources = [part for path in paths for part in reading.choose(Excerpt(path), channel)]
    if picture and len(sources) != 1:
        raise EmoscopeError(f"--picture draws one recording; {len(sources)} were given")
    _check_targets([*paths, *([segments] if segments else [])], out, picture, format)
    given, said = reading.read_parts(segments, paths) if segments and paths else (None, "")
    _note(said)
    size = sum(map(os.path.getsize, filter(os.path.isfile, paths)))
    # For little, preparing the model would take longer than what it saves.
    predictor = _loaded(model, label, labels, optimise=size >= LITTLE)
    in_channels = any(Excerpt.of(one).channel is not None for one in sources)
    timed = timeline or format in TIMELINES or bool(picture)
    asked = {"--same-source": same_source, "--each-alone": same_source and each_alone}
    asked |= {"--segments": bool(segments), "a timeline (also textgrid, eaf …)": timed}
    _check_asked(asked, predictor)  # before --replace removes anything
    kinds = (bool(timeline or segments), bool(segments), in_channels)
    layout = formats.Layout(predictor.emotions, predictor.model.identity, *kinds)
    writer = Writer(format, out, layout, len(sources), given, predictor.card)
    outcomes = predict_files(
        predictor, sources, timeline=timed, given=given, jobs=jobs, output=writer.output,
        together=same_source or (False if each_alone else None), division=division,
        joined=format in TIMELINES and not picture,
    )  # fmt: skip
    if picture and writer.holds(sources[0]):
        # The file goes on without it; the picture has to be drawn all the same.
        outcomes = predict_files(predictor, sources, timeline=True, jobs=jobs, division=division)
    errors += _write(outcomes, writer, sources, picture, unasked=not same_source)
    for error in errors:
        print(f"left out: {printable(str(error))}", file=sys.stderr)
    if errors:
        sys.exit(1)


def _find(names: Sequence[str]) -> tuple[list[str], list[EmoscopeError]]:
    """Each recording that is named once; what names none."""
    paths, errors = dict[str, None](), list[EmoscopeError]()
    for name in names:
        try:
            paths |= dict.fromkeys(opening.find([name]))
        except AudioError as error:
            errors.append(error)
    return list(paths), errors


def _check_targets(read: Sequence[str], out: str | None, picture: str | None, format: str) -> None:
    """Refuse to replace what is there; a file of json or csv is continued, or begun anew."""
    for target in filter(None, (out, picture)):
        refuse_overwrite(target, *read)
    if picture:
        keeping.keep(picture, record=picture)
    if out and format in TIMELINES:
        keeping.keep(out)


def _check_asked(asked: Mapping[str, bool], predictor: Predictor) -> None:
    """Refuse options that exclude each other, and what the model does not know."""
    if len(both := [name for name, is_asked in asked.items() if is_asked]) > 1:
        raise EmoscopeError(f"{both[0]} cannot be combined with {both[1]}")
    if asked["--same-source"]:
        require_offsets(predictor)


def _write(
    outcomes: Iterable[Prediction | EmoscopeError], writer: Writer,
    sources: Sequence[str | Excerpt], picture: str | None, *, unasked: bool,
) -> list[EmoscopeError]:  # fmt: skip
    """Write predictions as they come; gives the errors."""
    errors: list[EmoscopeError] = []
    begun = time.perf_counter()
    n_together, n_held = 0, sum(map(writer.holds, sources))
    if n_held:
        _note(f"{writer.path}: resuming; {n_held} of {len(sources)} recordings are done")
    output: contextlib.AbstractContextManager[object] = writer.output or contextlib.nullcontext()
    with output, _progress(len(sources), n_held) as tick:
        if writer.header:
            writer.give(writer.header)
        for outcome in outcomes:
            tick()
            if isinstance(outcome, EmoscopeError):
                errors.append(outcome)
                continue
            n_together += any(warning.startswith(TOGETHER) for warning in outcome.warnings)
            if outcome.channel and picture and sources[0] == outcome.file:
                errors += [] if errors else [AudioError(outcome.file, ONE_CHANNEL)]
                continue
            if writer.output is None:  # which has it already
                writer.n_shown += writer.format == "table"
                writer.n_certain += writer.format == "table" and not outcome.uncertain
                writer.give(formats.text_of(outcome, writer.format, writer.layout))
            if picture:
                _draw(outcome, picture)
    if writer.n_certain:
        _note(f"labels not marked uncertain: {writer.card.worth}")
    if writer.n_shown:
        _note(f"{writer.card.about.meaning}\n{writer.card.about.source}")
    if n_together and unasked:
        _note(f"together: {n_together} recordings {RELATIVE}")
    if commands.running.verbose:
        _note(f"classifying recordings: {time.perf_counter() - begun:.1f} s")
    return errors


def _loaded(
    model: str | None, label: list[str] | None, labels: Path | None, *, optimise: bool = True
) -> Predictor:
    """A predictor, with what has to be said of it: that its confidence is optimistic, or worth nothing."""
    words = commands.label_map(label, labels) if label or labels else None
    predictor = Predictor(model, optimise=optimise, labels=words)
    commands.said(predictor.model)
    if predictor.card.optimistic:
        _note(f"note: {OPTIMISTIC}")
    if not predictor.card.uncertain.coverage:
        _note(f"note: {predictor.card.worth}")
    return predictor


def _note(text: str) -> None:
    # As terminal.note, which takes as long to import as a label takes.
    if text and not commands.running.quiet:
        print(text, file=sys.stderr)


@contextlib.contextmanager
def _progress(count: int, done: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error for many recordings, when somebody is looking."""
    if count - done < 10 or commands.running.quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from . import terminal

    with terminal.progress("classifying recordings") as bar:

        def tick() -> None:
            nonlocal done
            done += 1
            bar(min(done, count), count)

        yield tick


class Writer:
    """What ``predict`` gives out: text on standard output, or a file; of json and csv, `output`."""

    def __init__(
        self, format: str, path: str | None, layout: formats.Layout, n_recordings: int,
        given: reading.Given | None, card: Card,
    ) -> None:  # fmt: skip
        if format not in formats.FORMATS:
            raise UnknownNameError("format", format, formats.FORMATS)
        if format in TIMELINES and n_recordings > 1:
            raise EmoscopeError(f"{format} holds one recording; {n_recordings} were given")
        if format == "table" and path is not None:
            raise EmoscopeError(f"{path}: a table is for the terminal; name a .csv or .json file")
        self.format, self.path, self.layout, self.header = format, path, layout, ""
        self.output: Output | None = None
        self.n_certain, self.n_shown, self.card = 0, 0, card  # what is counted is a table's
        if path is not None and format in ("json", "csv"):
            if commands.running.options["replace"] and os.path.isfile(path):
                os.unlink(path)  # else it would be continued
            self.output = Output(path, format, layout, given)
        elif format == "csv":
            self.header = formats.csv_header(layout)

    def holds(self, source: str | Excerpt) -> bool:
        """Whether the file has it already."""
        return self.output is not None and self.output.holds(source)

    def give(self, text: str) -> None:
        """Write to standard output, or the whole file."""
        if self.path is None:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        try:
            write_atomically(self.path, text)
        except OSError as error:
            raise EmoscopeError(f"{self.path}: cannot be written: {error.strerror}") from error


def _draw(prediction: Prediction, path: str) -> None:
    from ..report import plots
    from .data import save_figure

    with plots.style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(12, 3), layout="constrained", dpi=150)
        ax = figure.subplots()
        plots.timeline([part.to_dict() for part in prediction.segments if part.is_speech], ax=ax)
        ax.set_xlim(0, prediction.segments[-1].end)
        figure.supxlabel(textwrap.fill(prediction.about.text, 190), fontsize=7)
        save_figure(figure, Path(path))


@command(RECOGNISING)
def listen(
    *, model: str | None = None, label: list[str] | None = None, labels: Path | None = None,
    device: str | None = None, save: Path | None = None,
) -> None:  # fmt: skip
    """Recognise emotion live from the microphone, until Ctrl+C."""
    from ..prediction import microphone
    from . import terminal

    keeping.keep(*filter(None, (save,)))
    with microphone.Microphone(device) as source:
        if save and commands.running.options["replace"]:
            save.unlink(missing_ok=True)  # else it would be refused
        predictor = _loaded(model, label, labels)
        terminal.note(predictor.card.about.text)
        session = microphone.Session(predictor, source.rate, save=save)
        terminal.show_live(session.updates(source), session.latencies)
    print(formats.table_text(session.finish(), timeline=True), end="")
    if source.lost:
        often = "once" if source.lost == 1 else f"{source.lost} times"
        why = f"audio was lost {often}, because this machine was too slow"
        said = "labels near a gap may be wrong, and times after it are too early"
        terminal.err.print(f"{why}; {said}", soft_wrap=True)
    if session.unsaved is not None:
        raise EmoscopeError(session.unsaved)


@command(RECOGNISING)
def serve(
    *, model: list[str] | None = None, label: list[str] | None = None, labels: Path | None = None,
    host: str = "127.0.0.1", port: int = 8765, name: list[str] | None = None,
) -> None:  # fmt: skip
    """Start the web page and the HTTP API, by default for this machine only."""
    from .. import modelfile, server
    from . import terminal

    models: dict[str, Predictor] = {}
    for path in dict.fromkeys(model or ()):
        predictor = _loaded(path, label, labels)
        own = predictor.card.name if modelfile.is_foreign(path) else Path(path).stem
        if (other := models.setdefault(own, predictor)) is not predictor:
            both = f"{other.model.path} and {path} would both be called '{own}'"
            raise EmoscopeError(f"{both}; rename one of them")
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    app = server.create_app(models or None, hosts=(host, *(name or ())))
    waiting = "waiting up to 10 s for running requests; press Ctrl+C again to stop at once"
    server.run(
        app, host=host, port=port,
        ready=lambda: terminal.note(f"emoscope is running at {address} (Ctrl+C to stop)"),
        ending=lambda: terminal.note(waiting),
    )  # fmt: skip
