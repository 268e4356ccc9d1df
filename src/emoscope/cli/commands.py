"""What all commands share: how they are declared, and how their sources are read.

A command is a function. Its parameters before ``*`` are arguments, the others options: a bool is a
switch, or a yes and no where it is true by default. ``data/commands.toml`` says what they mean, of
which :mod:`emoscope.cli.typed` makes typer's application. Reading a command line through it takes
half as long as a label, so a plain ``emoscope predict`` is read by :func:`run_quickly`.
"""

import contextlib
import dataclasses
import functools
import getopt
import inspect
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, get_args, get_origin

from ..errors import AudioError, EmoscopeError
from ..files import sentence

if TYPE_CHECKING:
    from ..audio import Excerpt
    from ..corpus import Corpus
    from ..dataset import Dataset
    from ..modelfile import ModelFile

# Headings of the commands in ``emoscope --help``, and of those below ``emoscope store``.
COMPARING, RECOGNISING, DATA = "Compare and check", "Recognise and draw", "Corpora and features"
STORE = "Commands"

#: Options of every command that reads a corpus; see :class:`emoscope.corpus.Reading`.
READING: dict[str, object] = {
    "emotions": str | None, "speaker": str | None, "one_speaker": bool, "label": list[str] | None,
    "labels": Path | None, "channel": str | None, "part": str | None,
}  # fmt: skip
SHARED: dict[str, object] = {"quiet": bool, "verbose": bool}  # options of every command
LETTERS = {"quiet": "-q", "verbose": "-v"}


@dataclasses.dataclass(frozen=True)
class Source:
    """Labelled sources and how they are read; as a parameter to be named unless it has a default."""

    places: tuple[str, ...] = ()
    emotions: tuple[str, ...] = ()
    reading: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def corpus(self) -> "Corpus":
        """Its labels; the source has to be named."""
        from .. import corpus
        from . import terminal

        loaded = corpus.load(*self.places, **self.reading)
        for note in loaded.notes:
            terminal.note(note)
        return loaded.select(emotions=self.emotions) if self.emotions else loaded

    def dataset(
        self, features: Sequence[str], *,
        jobs: int | None, cluster: str | None, protocol: str | None = None,
    ) -> "Dataset":  # fmt: skip
        """Its labels and features, computed or taken from the store; for a protocol also its voices."""
        from .. import dataset
        from ..dataset import voices
        from ..dataset.store import Store
        from . import terminal

        if not self.places and any(v for option, v in self.reading.items() if option != "part"):
            raise EmoscopeError(sentence("needs_corpus"))
        corpus = self.corpus() if self.places else None
        with terminal.progress("extracting features") as tick:
            data = dataset.load(
                corpus, features, emotions=self.emotions, part=self.reading.get("part"),
                store=Store(), jobs=jobs, cluster=cluster, progress=tick,
            )  # fmt: skip
        for note in data.corpus.notes[len(corpus.notes) if corpus else 0 :]:
            terminal.note(note)
        if protocol is None or not self.places:
            return data
        with terminal.progress("comparing voices") as tick:
            checked = voices.check_or_group(
                data.corpus, protocol, store=Store(), jobs=jobs, cluster=cluster, progress=tick
            )
        terminal.note(checked.voices)
        return dataclasses.replace(data, corpus=checked)

    @property
    def has_song(self) -> bool:
        """Whether it is the bundled features with those of song, which have no spectrograms."""
        return not self.places and self.reading.get("part") in ("song", "both")

    def clips(self, corpus: "Corpus") -> "dict[str, Excerpt] | None":
        """The recording of each clip, for a report's players; the bundled features have none."""
        clips = zip(corpus.table["clip"], corpus.excerpts, strict=True)
        return dict(clips) if self.places else None

    @classmethod
    def of(cls, options: dict[str, Any]) -> "Source":
        """Take out of a command's options those that say what is read and how."""
        emotions = split(options.pop("emotions"))
        reading = {name: options.pop(name) for name in READING if name in options}
        words = label_map(reading.pop("label"), reading.pop("labels"))
        places = tuple(options.pop("source") or ())
        return cls(places, tuple(emotions), {**reading, "labels": words})


BUNDLED = Source()


@dataclasses.dataclass
class Running:
    """The command that runs, its options in the order of its declaration, and how much it says."""

    command: str = ""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    quiet: bool = False
    verbose: bool = False


running = Running()
declared: "dict[str, Command]" = {}
locked = contextlib.ExitStack()  # folders, until the command ends


@dataclasses.dataclass(frozen=True)
class Command:
    """A command: the function, its heading, whether it takes ``--config``."""

    function: Callable[..., None]
    panel: str
    configurable: bool

    @functools.cached_property
    def parameters(self) -> list[inspect.Parameter]:
        """Its arguments and options, with those that it shares with others."""
        parameters = list(inspect.signature(self.function, eval_str=True).parameters.values())
        writes = any(parameter.name in ("out", "save", "onnx") for parameter in parameters)
        shared: dict[str, object] = {"replace": bool} if writes else {}
        for number, parameter in enumerate(parameters):
            if parameter.annotation is Source:
                shared |= READING
                several = list[str] if parameter.default is parameter.empty else list[str] | None
                default = None if parameter.default is BUNDLED else parameter.default
                parameters[number] = parameter.replace(default=default, annotation=several)
        kind = inspect.Parameter.KEYWORD_ONLY
        for name, annotation in (shared | SHARED).items():
            default = False if annotation is bool else None
            parameters.append(inspect.Parameter(name, kind, default=default, annotation=annotation))
        return parameters

    def run(self, **options: Any) -> None:
        """Call the function, of which the options are noted for the record."""
        running.quiet, running.verbose = options.pop("quiet"), options.pop("verbose")
        running.command = self.function.__name__
        running.options = {p.name: options[p.name] for p in self.parameters if p.name in options}
        options.pop("replace", None)
        if "emotions" in options:
            running.options["emotions"] = split(options["emotions"]) or None
            options["source"] = Source.of(options)
        with locked:
            self.function(**options)


def command(
    panel: str, *, configurable: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a command: its heading or group."""

    def declare(function: Callable[..., None]) -> Callable[..., None]:
        name = f"store {function.__name__}" if panel == STORE else function.__name__
        declared[name] = Command(function, panel, configurable)
        return function

    return declare


def run_quickly(name: str, words: Sequence[str]) -> bool:
    """Run a command with one list of arguments; False where typer has to help, or say what is wrong."""
    chosen = declared[name]
    options = {parameter.name: parameter.default for parameter in chosen.parameters}
    meanings: dict[str, tuple[str, Any]] = {}  # a value, or how to read it
    letters, long = "", []
    for parameter in chosen.parameters:
        key, name = parameter.name, parameter.name.replace("_", "-")
        if parameter.kind is not parameter.KEYWORD_ONLY:
            arguments = key
        elif parameter.annotation is bool:
            letter = LETTERS.get(key, "")
            meanings[f"--{name}"] = meanings[letter] = key, True
            long.append(name)
            letters += letter[1:]
        else:
            first, *_ = get_args(parameter.annotation)  # of a value that may be None
            meanings[f"--{name}"] = key, first
            long.append(f"{name}=")
    try:
        pairs, options[arguments] = getopt.gnu_getopt(list(words), letters, long)
        for word, text in pairs:
            key, meaning = meanings[word]
            if get_origin(meaning):  # of a list typer makes one
                return False
            options[key] = meaning(text) if callable(meaning) else meaning
            if isinstance(options[key], int) and options[key] < 1:  # whether it may be, typer knows
                return False
    except (getopt.GetoptError, ValueError):
        return False
    if options[arguments]:
        chosen.run(**options)
    return bool(options[arguments])


def split(names: str | None) -> list[str]:
    """The names in a comma-separated list."""
    return [name.strip() for name in names.split(",") if name.strip()] if names else []


def label_map(pairs: Sequence[str] | None, file: Path | None) -> dict[str, str]:
    """What ``--labels FILE`` and ``--label WORD=EMOTION`` say together; the latter wins."""
    from .. import config
    from ..labels import EMOTIONS, canonical

    words = config.words(file) if file else {}
    for pair in pairs or ():
        word, equals, emotion = pair.rpartition("=")
        if not (word and equals):
            raise EmoscopeError(f"--label '{pair}': expected WORD=EMOTION, for example exc=happy")
        words[word] = emotion
    for word, emotion in words.items():
        if (meant := canonical(emotion) if emotion else "") is None:
            unknown = f"unknown emotion '{emotion}'. Valid: {', '.join(EMOTIONS)}"
            raise EmoscopeError(f"--label '{word}={emotion}': {unknown}")
        words[word] = meant
    return words


def said(model: "ModelFile") -> "ModelFile":
    """A model, when what its user has to know is said: it comes from another tool."""
    for note in () if running.quiet else model.said:
        print(f"note: {model.path}: {note}", file=sys.stderr)
    return model


def features_for(model_input: str, names: str | None) -> list[str]:
    """The features that were named, or those that a model of that input learns from."""
    from ..features import DEFAULT

    return split(names) or (list(DEFAULT) if model_input == "vector" else ["logmel"])


def end(rejected: Iterable[AudioError]) -> None:
    """Name what was left out; exit status 1 when anything was."""
    from . import terminal

    terminal.say_rejected(left_out := list(rejected))
    if left_out:
        sys.exit(1)


def command_line() -> str:
    """The command line as it was typed, for the record."""
    return shlex.join(["emoscope", *sys.argv[1:]])


def fitted(text: str, stream: TextIO) -> str:
    """The text; for a terminal, with lines that it would break inside a word broken before it."""
    if not stream.isatty():
        return text
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns

    def broken(line: str) -> str:
        indent = " " * (len(line) - len(line.lstrip()))
        return textwrap.fill(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )

    return "\n".join(broken(line) if len(line) > width else line for line in text.split("\n"))
