"""The commands that recognise emotion and draw recordings.

``predict`` starts at once: what the others need is imported inside them.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from ..audio import opening
from ..errors import AudioError, EmoscopeError, UnknownNameError
from ..files import printable, refuse_overwrite, write_atomically
from ..prediction import Prediction, Predictor, formats
from ..prediction.formats import TIMELINES
from ..prediction.output import Output, predict_files
from ..unseen import OPTIMISTIC
from . import commands, keeping
from .commands import RECOGNISING, Argument, Option, Switch, command

LITTLE = 1_000_000  # bytes: ten seconds as they come from a recorder (48 kHz, 16 bits)


@command(
    RECOGNISING,
    "emoscope predict speech.wav",
    "emoscope predict folder --format csv --out all.csv",
    "emoscope predict interview.mp4 --timeline",
    "emoscope predict interview.mp4 --format textgrid --out interview.TextGrid",
    "emoscope predict interview.mp4 --picture interview.png",
)
def predict(
    files: Annotated[list[str], Argument("Recordings, folders or patterns.")],
    *,
    model: commands.ModelOption = None,
    timeline: Annotated[bool, Switch("Divide each recording into labelled segments.")] = False,
    format: Annotated[
        str | None,
        Option(
            "table, json (one object a line), csv; of one timeline: textgrid, eaf, srt, vtt; by "
            "default as the file of --out ends, else table."
        ),
    ] = None,
    out: Annotated[
        str | None,
        Option(
            "A file; json and csv are continued when run again, by the same model; recordings are "
            "known by their names.",
            "PATH",
        ),
    ] = None,
    picture: Annotated[
        str | None, Option("Draw the timeline of one recording (.png, .svg, .pdf).", "PATH")
    ] = None,
    adapt: Annotated[
        bool | None,
        Option(
            "Classify the recordings relative to each other; by itself where it was measured to help."
        ),
    ] = None,
    jobs: Annotated[
        int | None, Option("Recordings at a time; by default all cores.", min=1)
    ] = None,
    replace: commands.Replace = False,
) -> None:
    """Recognise the emotion of recordings: label, confidence, probabilities, timeline."""
    paths, errors = _find(files)
    format = format or formats.format_of(out)
    _check_targets(paths, out, picture, format)
    sizes = (os.path.getsize(path) for path in paths if os.path.isfile(path))
    # For little, preparing the model would take longer than what it saves.
    predictor = _said(Predictor(model, optimise=sum(sizes) >= LITTLE))
    if replace and out and os.path.isfile(out):
        os.unlink(out)  # else it would be continued
    writer = Writer(format, out, predictor, timeline=timeline, n_files=len(paths))
    timeline = timeline or format in TIMELINES or bool(picture)
    if adapt and timeline:
        raise EmoscopeError("--adapt classifies whole recordings; it does not go with a timeline")
    adapt = False if timeline else adapt
    outcomes = predict_files(
        predictor, paths, timeline=timeline, adapt=adapt, jobs=jobs, output=writer.output
    )
    if picture and printable(paths[0]) in writer.done:
        # The file goes on without it; the picture has to be drawn all the same.
        outcomes = predictor.predict_many(paths, timeline=True, jobs=jobs)
    errors += _write(outcomes, writer, paths, picture, unasked=adapt is None)
    for error in errors:
        print(f"left out: {printable(str(error))}", file=sys.stderr)
    if errors:
        sys.exit(1)


def _check_targets(paths: Sequence[str], out: str | None, picture: str | None, format: str) -> None:
    """Refuse to replace what is there; a file of json or csv is continued, or begun anew."""
    if picture and len(paths) != 1:
        raise EmoscopeError(f"--picture draws one recording; {len(paths)} were given")
    for target in filter(None, (out, picture)):
        refuse_overwrite(target, *paths)
    if picture:
        keeping.keep(picture, record=picture)
    if out and format in TIMELINES:
        keeping.keep(out)


def _find(names: Sequence[str]) -> tuple[list[str], list[EmoscopeError]]:
    """Each recording that is named once; what names none."""
    paths: list[str] = []
    errors: list[EmoscopeError] = []
    for name in names:
        try:
            paths += opening.find([name])
        except AudioError as error:
            errors.append(error)
    return list(dict.fromkeys(paths)), errors


def _write(
    outcomes: Iterable[Prediction | EmoscopeError],
    writer: Writer,
    paths: Sequence[str],
    picture: str | None,
    *,
    unasked: bool,
) -> list[EmoscopeError]:
    """Write predictions as they come; gives the errors."""
    errors: list[EmoscopeError] = []
    begun = time.perf_counter()
    n_adapted, n_held = 0, len({printable(path) for path in paths} & writer.done)
    if n_held:
        _note(f"{writer.path}: holds {n_held} of {len(paths)} recordings already")
    output: contextlib.AbstractContextManager[object] = writer.output or contextlib.nullcontext()
    with output, _progress(len(paths), n_held) as tick:
        if writer.header:
            writer.give(writer.header)
        for outcome in outcomes:
            tick()
            if isinstance(outcome, EmoscopeError):
                errors.append(outcome)
                continue
            n_adapted += any(warning.startswith("adapted:") for warning in outcome.warnings)
            if writer.output is None:  # which has it already
                writer.give(writer.text_of(outcome))
            if picture:
                _draw(outcome, picture)
    if n_adapted and unasked:
        _note(
            f"adapted: {n_adapted} recordings were classified relative to each other, which was "
            "measured to help with so many where they hold all emotions; --no-adapt classifies each "
            "alone"
        )
    if commands.running.verbose:
        _note(f"classifying recordings: {time.perf_counter() - begun:.1f} s")
    return errors


def _said(predictor: Predictor) -> Predictor:
    """A predictor of which it is said when its confidence is optimistic."""
    if predictor.card.optimistic:
        _note(f"note: {OPTIMISTIC}")
    return predictor


def _note(text: str) -> None:
    # As terminal.note, which takes as long to import as a label takes.
    if not commands.running.quiet:
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
            bar(done, count)

        yield tick


class Writer:
    """What ``predict`` gives out: text on standard output, or a file; of json and csv, `output`."""

    def __init__(
        self, format: str, path: str | None, predictor: Predictor, *, timeline: bool, n_files: int
    ) -> None:
        if format not in ("table", "json", "csv", *TIMELINES):
            raise UnknownNameError("format", format, ("table", "json", "csv", *TIMELINES))
        if format in TIMELINES and n_files > 1:
            raise EmoscopeError(f"{format} holds one recording; {n_files} were given")
        if format == "table" and path is not None:
            raise EmoscopeError(f"{path}: a table is for the eye; name a .csv or .json file")
        emotions, model = predictor.emotions, predictor.model.identity
        self.path, self.header = path, ""
        self.text_of = partial(
            formats.text_of, format=format, emotions=emotions, model=model, timeline=timeline
        )
        self.output: Output | None = None
        if path is not None and format in ("json", "csv"):
            self.output = Output(path, format, emotions, model=model, timeline=timeline)
        elif format == "csv":
            self.header = formats.csv_header(emotions, model=model, timeline=timeline)
        self.done = self.output.done if self.output else set()

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
    from matplotlib.figure import Figure

    from ..report import plots

    with plots.style():
        figure = Figure(figsize=(12, 3), layout="constrained", dpi=150)
        ax = figure.subplots()
        plots.timeline([part.to_dict() for part in prediction.segments if part.is_speech], ax=ax)
        ax.set_xlim(0, prediction.segments[-1].end)
        _save_figure(figure, Path(path))


def _save_figure(figure: Any, path: Path) -> None:
    content, about = io.BytesIO(), {"Keywords": keeping.mark()}
    try:
        figure.savefig(content, format=path.suffix.lstrip(".") or "png", metadata=about)
        write_atomically(path, content.getvalue())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EmoscopeError(f"{path}: the picture cannot be written: {reason}") from error


@command(RECOGNISING, "emoscope listen", "emoscope listen --device USB --save heard.flac")
def listen(
    *,
    model: commands.ModelOption = None,
    device: Annotated[str | None, Option("Part of the microphone's name.")] = None,
    save: Annotated[Path | None, Option("Keep what is heard, as .wav or .flac.")] = None,
    replace: commands.Replace = False,
) -> None:
    """Recognise emotion live, through the microphone, until Ctrl+C is pressed."""
    from ..prediction import microphone
    from . import terminal

    keeping.keep(*filter(None, (save,)))
    with microphone.Microphone(device) as source:
        session = microphone.Session(_said(Predictor(model)), source.rate, save=save)
        terminal.show_live(session.updates(source), session.latencies)
    print(formats.table_text(session.finish(), timeline=True), end="")
    if source.lost:
        often = "once" if source.lost == 1 else f"{source.lost} times"
        terminal.err.print(
            f"sound was lost {often}, because this machine was too slow; labels near such a gap "
            "may be wrong, and times after it are too early",
            soft_wrap=True,
        )
    if session.unsaved is not None:
        raise EmoscopeError(session.unsaved)


@command(RECOGNISING, "emoscope serve", "emoscope serve --model mine.emoscope --port 9000")
def serve(
    *,
    model: Annotated[
        list[str] | None, Option("A .emoscope file; repeatable, the first is default.", "FILE")
    ] = None,
    host: Annotated[str, Option("Address to bind to.", "ADDRESS")] = "127.0.0.1",
    port: Annotated[int, Option("Port to listen on.", min=1, max=65535)] = 8765,
    name: Annotated[
        list[str] | None, Option("A host name it may be addressed by; repeatable.")
    ] = None,
) -> None:
    """Serve the browser page and the HTTP API, on this machine unless told otherwise."""
    from .. import server
    from . import terminal

    paths: dict[str, str] = {}
    for path in model or []:
        if (other := paths.setdefault(Path(path).stem, path)) != path:
            raise EmoscopeError(
                f"{other} and {path} would both be called '{Path(path).stem}'; rename one of them"
            )
    models = {stem: _said(Predictor(path)) for stem, path in paths.items()}
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    app = server.create_app(models or None, hosts=(host, *(name or ())))
    waiting = "waiting up to 10 s for what is in work; Ctrl+C ends it at once"
    server.run(
        app, host=host, port=port,
        ready=lambda: terminal.note(f"emoscope is at {address} (stop with Ctrl+C)"),
        ending=lambda: terminal.note(waiting),
    )  # fmt: skip


@command(
    RECOGNISING,
    "emoscope show happy.wav sad.wav --out clips.png",
    "emoscope show interview.mp4 --panels waveform,pitch --dark",
)
def show(
    files: Annotated[list[str], Argument("Recordings, drawn side by side.")],
    *,
    panels: Annotated[
        str | None,
        Option(
            "What to draw, comma-separated, from top to bottom.", "NAMES", package="report.plots"
        ),
    ] = None,
    out: Annotated[Path | None, Option("A .png, .svg or .pdf; without it, a window.")] = None,
    dark: Annotated[bool, Switch("In the dark theme.")] = False,
    replace: commands.Replace = False,
) -> None:
    """Draw recordings: waveform, spectrograms, log-mel, pitch and energy."""
    from .. import audio
    from ..report import plots
    from . import terminal

    if out is not None:
        refuse_overwrite(out, *files)
        keeping.keep(out, record=out)
    signals, refused = [], []
    for file in files:
        try:
            signals.append(audio.load(file))
        except AudioError as error:
            refused.append(error)
    if signals:
        figure = plots.show(signals, panels=commands.split(panels) or plots.SHOWN, dark=dark)
        if out is None:
            plots.display(figure)
        else:
            _save_figure(figure, out)
            terminal.say(str(out))
    commands.end(refused)
