"""The commands that recognise emotion and draw recordings."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import AudioError, EmoscopeError, UnknownNameError
from ..files import refuse_overwrite, write_atomically
from .commands import RECOGNISING, ModelFile, app, command, end, names_of, split


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    rich_help_panel=RECOGNISING,
)
def predict(context: typer.Context) -> None:
    """Recognise the emotion of recordings: label, confidence, probabilities, timeline."""
    from . import predict as predict_command

    raise typer.Exit(predict_command.main(context.args))


@command(
    examples=("emoscope listen", "emoscope listen --device USB --save heard.flac"),
    panel=RECOGNISING,
)
def listen(
    *,
    model: ModelFile = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Part of the microphone's name.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep what is heard, as .wav or .flac.")
    ] = None,
) -> None:
    """Recognise emotion live, through the microphone, until Ctrl+C is pressed."""
    from ..prediction import Predictor, formats, microphone
    from . import live, terminal

    with microphone.Microphone(device) as source:
        session = microphone.Session(Predictor(model), source.rate, save=save)
        live.show(session.updates(source), session)
    typer.echo(formats.table_text(session.finish(), timeline=True), nl=False)
    if source.lost:
        often = "once" if source.lost == 1 else f"{source.lost} times"
        terminal.err.print(
            f"sound was lost {often}, because this machine was too slow; labels near such a gap "
            "may be wrong, and times after it are too early",
            soft_wrap=True,
        )
    if session.unsaved is not None:
        raise EmoscopeError(session.unsaved)


@command(
    examples=("emoscope serve", "emoscope serve --model mine.emoscope --port 9000"),
    panel=RECOGNISING,
)
def serve(
    *,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="A .emoscope file; repeatable, the first is default."),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to bind to.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=1, max=65535, help="Port to listen on.")
    ] = 8765,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A host name it may be addressed by; repeatable."),
    ] = None,
) -> None:
    """Serve the browser page and the HTTP API, on this machine unless told otherwise."""
    from .. import server
    from ..prediction import Predictor
    from . import terminal

    paths: dict[str, str] = {}
    for path in model or []:
        other = paths.setdefault(Path(path).stem, path)
        if other != path:
            raise EmoscopeError(
                f"{other} and {path} would both be called '{Path(path).stem}'; rename one of them"
            )
    models = {stem: Predictor(path) for stem, path in paths.items()}
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    said = f"emoscope is at {address} (stop with Ctrl+C)"
    server.run(
        server.create_app(models or None, hosts=(host, *(name or ()))),
        host=host,
        port=port,
        ready=lambda: terminal.status.print(said, markup=False),
        ending=lambda: terminal.status.print(
            "waiting up to 10 s for what is in work; Ctrl+C ends it at once", markup=False
        ),
    )


@command(
    examples=(
        "emoscope show happy.wav sad.wav --out clips.png",
        "emoscope show interview.mp4 --panels waveform,pitch --dark",
    ),
    panel=RECOGNISING,
)
def show(
    files: Annotated[list[str], typer.Argument(help="Recordings, drawn side by side.")],
    *,
    panels: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What to draw, comma-separated, from top to bottom.",
            autocompletion=names_of("report.plots"),
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A .png, .svg or .pdf; without it, a window."),
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="For dark paper.")] = False,
) -> None:
    """Draw recordings: waveform, spectrograms, log-mel, pitch and energy."""
    from .. import audio
    from ..report import plots
    from . import terminal

    if out is not None:
        refuse_overwrite(out, *files)
    signals, refused = [], []
    for file in files:
        try:
            signals.append(audio.load(file))
        except AudioError as error:
            refused.append(error)
    if signals:
        figure = plots.show(signals, panels=split(panels) or plots.SHOWN, dark=dark)
        if out is None:
            plots.display(figure)
        else:
            _save_figure(figure, out)
            terminal.out.print(str(out), markup=False, soft_wrap=True)
    end(refused)


@command(
    examples=(
        "emoscope export mine.emoscope --onnx mine.onnx",
        "emoscope export mine.emoscope --hub repository",
    ),
    panel=RECOGNISING,
)
def export(
    model: Annotated[str, typer.Argument(help="A .emoscope file.")],
    *,
    onnx: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write its graph, with its signature as metadata."),
    ] = None,
    hub: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a Hugging Face repository with a model card."),
    ] = None,
) -> None:
    """Write a model for use elsewhere; nothing is sent anywhere."""
    from .. import modelfile
    from ..training import publishing
    from . import terminal

    if onnx is None and hub is None:
        raise EmoscopeError("nothing to write; give --onnx FILE, --hub DIR, or both")
    loaded = modelfile.load(model)
    if onnx is not None:
        refuse_overwrite(onnx, model)
        terminal.out.print(str(publishing.to_onnx(loaded, onnx)), soft_wrap=True)
    if hub is not None:
        terminal.out.print(str(publishing.to_hub(loaded, hub)), soft_wrap=True)


def _save_figure(figure: Any, path: Path) -> None:
    known = figure.canvas.get_supported_filetypes()
    if path.suffix.lstrip(".") not in known:
        raise UnknownNameError("picture format", path.suffix.lstrip("."), known)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lstrip("."))
    write_atomically(path, content.getvalue())
