"""The commands that recognise emotion.

``predict`` starts at once: what the others need is imported inside them.
"""

import contextlib
import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ..audio import Excerpt, opening
from ..errors import AudioError, EmoscopeError, check_known, installed
from ..files import printable, refuse_overwrite, refuse_unwritable, sentence, write_atomically
from ..modelfile.card import Card
from ..prediction import Prediction, Predictor, formats
from ..prediction import sources as reading
from ..prediction.formats import TIMELINES
from ..prediction.known import TRAINING, WHOLE
from ..prediction.output import Output, predict_files, require_offsets
from ..prediction.prediction import TOGETHER
from ..prediction.sources import CHANNEL, SPEAKER, Division
from ..unseen import OPTIMISTIC
from . import commands, keeping
from .commands import RECOGNISING, command

MANY, LONG = 10, 5_000_000  # recordings, or bytes of them, that take long enough for a bar
FEW = 40  # segments that are listed on a terminal; of more the summary is shown
PICTURES = ("png", "svg", "pdf", "eps", "ps", "svgz")  # which can hold what they were made by
LITTLE = 1_000_000  # bytes: ten seconds as they come from a recorder (48 kHz, 16 bits)


@command(RECOGNISING)
def predict(
    files: list[str], *, model: str | None = None, label: list[str] | None = None,
    labels: Path | None = None, timeline: bool = False, segments: str | None = None,
    channel: str | None = None, format: str | None = None, out: str | None = None,
    picture: str | None = None, html: str | None = None, same_source: bool = False,
    each_alone: bool = False, by: str | None = None, speakers: int | None = None,
    jobs: int | None = None,
) -> None:  # fmt: skip
    """Recognise emotion in recordings: label, confidence, probabilities, timeline."""
    division = Division(by or (SPEAKER if speakers else CHANNEL), speakers)
    timeline = timeline or division.by == SPEAKER or bool(picture or html)
    paths, errors = _find(files)
    drawn, brief = (picture, html), format is None and sys.stdout.isatty()
    format = format or formats.format_of(out)
    sources: Sequence[str | Excerpt] = paths
    if channel:
        sources = [part for path in paths for part in reading.choose(Excerpt(path), channel)]
    if any(drawn) and len(sources) != 1:
        option = "--html shows" if html else "--picture draws"
        raise EmoscopeError(f"{option} one recording; {len(sources)} were given")
    _check_targets([*paths, *([segments] if segments else [])], out, drawn, format)
    given, said = reading.read_parts(segments, paths) if segments and paths else (None, "")
    _note(said)
    size = sum(map(os.path.getsize, filter(os.path.isfile, paths)))
    # For little, preparing the model would take longer than what it saves.
    predictor = _loaded(model, label, labels, optimise=size >= LITTLE)
    in_channels = any(Excerpt.of(one).channel is not None for one in sources)
    timed = timeline or format in TIMELINES
    asked = {"--same-source": same_source, "--each-alone": same_source and each_alone}
    asked |= {"--segments": bool(segments), "a timeline (also textgrid, eaf …)": timed}
    _check_asked(asked, predictor)  # before --replace removes anything
    kinds = (bool(timeline or segments), bool(segments), in_channels)
    told = {
        f" --by {division.by}": division.by != CHANNEL, f" --speakers {speakers}": speakers,
        f" --channel {channel}": channel, " --same-source": same_source,
        " --each-alone": each_alone and not (same_source or timed),
    }  # fmt: skip
    made_by = predictor.model.identity + "".join(option for option in told if told[option])
    layout = formats.Layout(predictor.emotions, made_by, *kinds)
    writer = Writer(format, out, layout, sources, given, predictor.card, brief=brief)
    outcomes = predict_files(
        predictor, sources, timeline=timed, given=given, jobs=jobs, output=writer.output,
        together=same_source or (False if each_alone else None), division=division,
    )  # fmt: skip
    if any(drawn) and writer.holds(sources[0]):
        # The file goes on without it; the recording has to be drawn all the same.
        outcomes = predict_files(predictor, sources, timeline=True, jobs=jobs, division=division)
    n_missing = len(sources) - sum(map(writer.holds, sources))
    outcomes = _watched(outcomes, n_missing, size, predictor)
    errors += _write(outcomes, writer, sources, drawn, unasked=not same_source)
    for error in errors:
        print(commands.fitted(f"left out: {printable(str(error))}", sys.stderr), file=sys.stderr)
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


def _check_targets(
    read: Sequence[str], out: str | None, drawn: Sequence[str | None], format: str
) -> None:
    """Refuse to replace what is there; a file of json or csv is continued, or begun anew."""
    targets = list(filter(None, (out, *drawn)))
    for target in targets:
        refuse_overwrite(target, *read)
    if len(set(map(os.path.realpath, targets))) < len(targets):
        raise EmoscopeError(f"{targets[-1]}: is named by two options; name two files")
    late = (*drawn, out if format in TIMELINES else None)
    for target in filter(None, late):  # which are written last, maybe after hours
        keeping.keep(target, record=target)
        refuse_unwritable(target)
    if drawn[0]:
        installed("matplotlib", "--picture", "plots")
        ending = Path(drawn[0]).suffix.lstrip(".").lower() or "png"
        check_known("picture format", PICTURES, ending)


def _check_asked(asked: Mapping[str, bool], predictor: Predictor) -> None:
    """Refuse options that exclude each other, and what the model does not know."""
    if len(both := [name for name, is_asked in asked.items() if is_asked]) > 1:
        raise EmoscopeError(f"{both[0]} cannot be combined with {both[1]}")
    if asked["--same-source"]:
        require_offsets(predictor)


def _write(
    outcomes: Iterable[Prediction | EmoscopeError], writer: "Writer",
    sources: Sequence[str | Excerpt], drawn: Sequence[str | None], *, unasked: bool,
) -> list[EmoscopeError]:  # fmt: skip
    """Write predictions as they come; gives the errors."""
    errors: list[EmoscopeError] = []
    begun = time.perf_counter()
    n_together, n_done = 0, sum(map(writer.holds, sources))
    if n_done:
        _note(f"{writer.path}: resuming; {n_done} of {len(sources)} recordings are done")
    output: contextlib.AbstractContextManager[object] = writer.output or contextlib.nullcontext()
    try:
        with output:
            if writer.header:
                writer.give(writer.header)
            for outcome in outcomes:
                if isinstance(outcome, EmoscopeError):
                    errors.append(outcome)
                    continue
                n_done += 1
                n_together += any(warning.startswith(TOGETHER) for warning in outcome.warnings)
                if writer.output is None:  # which has it already
                    writer.show(outcome)
                if any(drawn):
                    _draw(outcome, Excerpt.of(sources[0]).path, *drawn)
    except KeyboardInterrupt:
        done = f"{writer.path} keeps {n_done} of {len(sources)} recordings"
        kept = writer.output and n_done and f"{done}; the same command does the rest"
        _note(f"stopped; {kept or 'no file was written'}")
        raise
    for said, names in writer.trained.items() if len(sources) > 1 else ():
        first = ", ".join(names[:3]) + " …" * (len(names) > 3)
        several = f"each of {len(names)} recordings ({first})"
        _note(said.replace(WHOLE, several if len(names) > 1 else first))
    if writer.n_certain:
        _note(f"labels not marked uncertain: {writer.card.worth}")
    if writer.n_shown:
        _note(f"{writer.card.about.meaning}\n{writer.card.about.source}")
    if n_together and unasked:
        _note(sentence("relative", n=n_together))
    if commands.running.verbose:
        _note(f"classifying recordings: {time.perf_counter() - begun:.1f} s")
    for path in filter(os.path.isfile, filter(None, (writer.path, *drawn))):
        size = os.path.getsize(path) / 1000
        _note(f"written: {path} ({f'{size / 1000:.1f} MB' if size >= 1000 else f'{size:.0f} kB'})")
    return errors


def _watched(
    outcomes: Iterator[Prediction | EmoscopeError], count: int, size: int, predictor: Predictor
) -> Iterator[Prediction | EmoscopeError]:
    """What comes, with a bar on standard error for what takes long, when somebody is looking."""
    takes_long = count >= MANY or size >= LONG
    if not takes_long or commands.running.quiet or not sys.stderr.isatty():
        yield from outcomes
        return
    from . import terminal

    if count >= MANY:
        with terminal.progress("classifying recordings") as bar:
            for number, outcome in enumerate(outcomes, 1):
                bar(min(number, count), count)
                yield outcome
        return
    while True:
        with terminal.listening(predictor):
            one = next(outcomes, None)
        if one is None:
            return
        yield one


def _draw(prediction: Prediction, path: str, picture: str | None, html: str | None) -> None:
    """Write the picture and the page of a prediction with segments."""
    from ..report import plots, recording
    from . import terminal
    from .data import save_figure

    waves = recording.waveforms(prediction, path)
    if picture:
        with plots.style():
            save_figure(plots.recording(prediction, waves), Path(picture))
    if html:
        with terminal.progress("compressing the sound") as bar:
            sign = keeping.mark()
            write_atomically(
                html, recording.render(prediction, path, waves, sign=sign, progress=bar)
            )


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
        print(commands.fitted(text, sys.stderr), file=sys.stderr)


class Writer:
    """What ``predict`` gives out: text on standard output, or a file; of json and csv, `output`."""

    def __init__(
        self, format: str, path: str | None, layout: formats.Layout,
        sources: Sequence[str | Excerpt], given: "reading.Given | None", card: Card, *,
        brief: bool = False,
    ) -> None:  # fmt: skip
        check_known("format", formats.FORMATS, format)
        if format in TIMELINES and len(sources) > 1:
            raise EmoscopeError(f"{format} holds one recording; {len(sources)} were given")
        if format == "table" and path is not None:
            raise EmoscopeError(f"{path}: a table is for the terminal; name a .csv or .json file")
        self.format, self.path, self.layout, self.header = format, path, layout, ""
        self.output: Output | None = None
        self.brief = brief and format == "table"
        self.n_certain, self.n_shown, self.card = 0, 0, card  # what is counted is a table's
        self.trained = dict[str, list[str]]()  # by warning, the recordings in the training data
        if len(sources) > 1 and not commands.running.quiet:  # it is said once for all of them
            self.layout = dataclasses.replace(layout, without=(TOGETHER, TRAINING))
        if path is not None and format in ("json", "csv"):
            if commands.running.options["replace"] and os.path.isfile(path):
                os.unlink(path)  # else it would be continued
            self.output = Output(path, format, layout, given, sources)
        elif format == "csv":
            self.header = formats.csv_header(layout)

    def holds(self, source: str | Excerpt) -> bool:
        """Whether the file has it already."""
        return self.output is not None and self.output.holds(source)

    def show(self, prediction: Prediction) -> None:
        """Give a recording out; to somebody at a terminal the summary in place of many segments."""
        n_parts, summary = sum(len(one.segments) for one in prediction.each), prediction.summary
        brief = summary if self.brief and n_parts > FEW else None
        layout = dataclasses.replace(self.layout, timeline=self.layout.timeline and not brief)
        each = (prediction.joined,) if self.format in TIMELINES else prediction.each
        for one in each:
            if self.format == "table":
                self.n_shown += 1
                self.n_certain += not one.uncertain
                for said in filter(lambda said: said.startswith(TRAINING), one.warnings):
                    self.trained.setdefault(said, []).append(printable(one.file))
            self.give(formats.text_of(one, self.format, layout))
        if brief:
            width = min(100, shutil.get_terminal_size().columns)
            self.give(formats.summary_text(brief, width))
            _note(
                f"{n_parts} segments: --format table lists them, --html FILE shows and plays them"
            )

    def give(self, text: str) -> None:
        """Write to standard output, or the whole file."""
        if self.path is None:
            sys.stdout.write(commands.fitted(text, sys.stdout) if self.format == "table" else text)
            sys.stdout.flush()
            return
        write_atomically(self.path, text)


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
    table = formats.table_text(session.finish(), timeline=True)
    print(commands.fitted(table, sys.stdout), end="")
    if source.lost:
        often = "once" if source.lost == 1 else f"{source.lost} times"
        terminal.err.print(sentence("lost", often=often), soft_wrap=True)
    if session.unsaved is not None:
        raise EmoscopeError(session.unsaved)


@command(RECOGNISING)
def serve(
    *, model: list[str] | None = None, label: list[str] | None = None, labels: Path | None = None,
    host: str = "127.0.0.1", port: int = 8765, name: list[str] | None = None,
    max_upload: int | None = None,
) -> None:  # fmt: skip
    """Start the web page and the HTTP API, by default for this machine only."""
    from .. import modelfile, server
    from . import terminal

    models: dict[str, Predictor] = {}
    for path in dict.fromkeys(model or ()):
        predictor = _loaded(path, label, labels)
        own = predictor.card.name if modelfile.is_foreign(path) else Path(path).stem
        if (other := models.setdefault(own, predictor)) is not predictor:
            raise EmoscopeError(sentence("both_called", one=other.model.path, other=path, name=own))
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    limits = server.Limits.of(host, name or (), max_upload)
    app = server.create_app(models or None, limits=limits, hosts=(host, *(name or ())))
    waiting = "waiting up to 10 s for running requests; press Ctrl+C again to stop at once"
    server.run(
        app, host=host, port=port,
        ready=lambda: terminal.note(f"emoscope is running at {address} (Ctrl+C to stop)"),
        ending=lambda: terminal.note(waiting),
    )  # fmt: skip
