"""The routes under ``/api``, what they take and give, and the work behind them.

The descriptions here are what ``/openapi.json`` and the page at ``/docs`` say.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated, Any, Literal, TypeVar

import soundfile
import soxr
from fastapi import APIRouter, File, Query, Request, UploadFile
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from .. import __version__
from ..audio import Signal, media
from ..errors import AudioError, FeatureError, UnknownNameError
from ..files import printable
from ..recognition import Predictor, formats
from ..recognition.prediction import Prediction
from ..recognition.timeline import Segment
from .guard import Limits, RefusalError
from .monitoring import CONTENT_TYPE, Monitor

Outcome = TypeVar("Outcome")

LONGEST = 1e7
"""Seconds; four months, longer than any recording."""
LISTENING_RATE = 16_000
"""Hz of what ``/api/listen`` gives back: enough for speech, and for what the model hears of it."""


class SegmentModel(BaseModel):
    """A part of a recording with one label."""

    start: float = Field(ge=0, le=LONGEST, description="Seconds.")
    end: float = Field(ge=0, le=LONGEST, description="Seconds.")
    emotion: str = Field(description="An emotion, 'silence' or 'non-speech'.")
    confidence: float = Field(ge=0, le=1)
    probabilities: dict[str, float] = Field(description="Empty where nobody speaks.")


class PredictionModel(BaseModel):
    """What was recognised in one recording."""

    file: str
    emotion: str
    confidence: float = Field(ge=0, le=1, description="Calibrated probability of the emotion.")
    probabilities: dict[str, float]
    uncertain: bool = Field(description="Whether the label should not be relied on.")
    warnings: list[str] = Field(description="What makes the recording hard to judge.")
    segments: list[SegmentModel] = Field(description="With timeline=true: no gaps, in order.")

    model_config = ConfigDict(extra="forbid")

    def prediction(self) -> Prediction:
        """The same as emoscope's own object."""
        segments = tuple(Segment(**segment.model_dump()) for segment in self.segments)
        values = self.model_dump(exclude={"segments", "warnings"})
        return Prediction(**values, warnings=tuple(self.warnings), segments=segments)


class Refused(BaseModel):
    """A recording that could not be used."""

    file: str
    reason: str


class Predictions(BaseModel):
    """The answer to one request."""

    model: str
    predictions: list[PredictionModel] = Field(description="In the order of the files.")
    errors: list[Refused] = Field(description="Recordings that could not be used, and why.")


class Health(BaseModel):
    """Whether the server works."""

    status: Literal["ok"]
    version: str
    models: list[str]
    upload_bytes: int = Field(description="Largest body of a request.")


class Failure(BaseModel):
    """Why a request was not answered."""

    error: str


def _failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    reasons = {
        400: "The body cannot be read.",
        403: "Sent by another web site.",
        408: "The upload is too slow.",
        413: "Too large, too long or too many files.",
        421: "Addressed to another host.",
        422: "Not as described here, or no file could be used.",
        429: "Too many requests of this address are waiting.",
        503: "Too many requests are waiting; try again after Retry-After seconds.",
    }
    return {status: {"model": Failure, "description": reasons[status]} for status in statuses}


REFUSALS = _failures(400, 403, 408, 413, 421, 422, 429, 503)


class Service:
    """The work behind the routes.

    Parameters
    ----------
    models : mapping of str to Predictor
        By public name; the first is the default.
    limits : Limits
    monitor : Monitor
    """

    def __init__(self, models: Mapping[str, Predictor], limits: Limits, monitor: Monitor) -> None:
        self.models, self.limits, self.monitor = dict(models), limits, monitor
        # Now, because the files may be moved while the server runs.
        self.cards = [_card(name, predictor) for name, predictor in self.models.items()]
        self.pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="emoscope")

    def model(self, name: str | None) -> tuple[str, Predictor]:
        """A model by name; the default for None."""
        name = name or next(iter(self.models))
        if name not in self.models:
            raise UnknownNameError("model", name, self.models)
        return name, self.models[name]

    async def run(self, function: Callable[..., Outcome], *values: Any) -> Outcome:
        """Run in the pool, in the order of arrival."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *values)

    def predict(
        self, predictor: Predictor, upload: UploadFile, timeline: bool, deadline: float
    ) -> Prediction | Refused:
        """Judge one upload."""
        name = printable(upload.filename or "recording")[:255]
        try:
            with ExitStack() as stack:
                pieces = self._pieces(_path(upload.file, stack), deadline)
                found = predictor.predict(pieces, timeline=timeline)
        except (AudioError, FeatureError) as error:
            self.monitor.recording("refused")
            reason = error.reason if isinstance(error, AudioError) else str(error)
            return Refused(file=name, reason=reason)
        self.monitor.recording("predicted")
        return dataclasses.replace(found, file=name)

    def listen(self, upload: UploadFile, deadline: float) -> IO[bytes]:
        """Decode one upload to FLAC, mono, in a nameless file."""
        encoded = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has been sent
        try:
            with ExitStack() as stack:
                pieces = self._pieces(_path(upload.file, stack), deadline)
                _encode(pieces, encoded)
        except BaseException:
            encoded.close()
            raise
        encoded.seek(0)
        return encoded

    def _pieces(self, path: str, deadline: float) -> Iterator[Signal]:
        """The recording piece by piece, as long as there is time."""
        for piece in media.blocks(path, max_seconds=self.limits.seconds):
            if time.monotonic() > deadline:
                seconds = self.limits.request_seconds
                raise RefusalError(503, f"not finished within {seconds:g} s", {"retry-after": "10"})
            self.monitor.audio(piece.duration)
            yield piece


router = APIRouter(prefix="")


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


@router.post("/api/predict", response_model=Predictions, responses=REFUSALS)
async def predict(
    request: Request,
    files: Annotated[list[UploadFile], File(min_length=1, description="Recordings of any format.")],
    timeline: Annotated[bool, Query(description="Also divide them into segments.")] = False,
    model: Annotated[str | None, Query(description="A name from /api/models.")] = None,
) -> Any:
    """Recognise the emotion of one or more recordings."""
    service = _service(request)
    name, predictor = service.model(model)
    if len(files) > service.limits.files:
        raise RefusalError(413, f"{len(files)} files; at most {service.limits.files} in a request")
    deadline = time.monotonic() + service.limits.request_seconds
    outcomes = await asyncio.gather(
        *(service.run(service.predict, predictor, file, timeline, deadline) for file in files)
    )
    found = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
    bad = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    if not found:
        raise RefusalError(422, "; ".join(f"{error.file}: {error.reason}" for error in bad))
    predictions = [prediction.to_dict() for prediction in found]
    return {"model": name, "predictions": predictions, "errors": bad}


@router.post(
    "/api/listen",
    response_class=Response,
    responses={200: {"content": {"audio/flac": {}}}, **REFUSALS},
)
async def listen(
    request: Request,
    files: Annotated[
        list[UploadFile],
        File(min_length=1, max_length=1, description="One recording of any format."),
    ],
) -> StreamingResponse:
    """Decode a recording to mono FLAC of 16 kHz, for browsers that cannot play its format."""
    service = _service(request)
    deadline = time.monotonic() + service.limits.request_seconds
    encoded = await service.run(service.listen, files[0], deadline)

    def chunks() -> Iterator[bytes]:
        with encoded:
            yield from iter(lambda: encoded.read(1 << 16), b"")

    return StreamingResponse(chunks(), media_type="audio/flac")


@router.post(
    "/api/export",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {}}}, **REFUSALS},
)
async def export(
    prediction: PredictionModel,
    format: Annotated[Literal["csv", "textgrid", "eaf", "srt", "vtt"], Query()],
) -> PlainTextResponse:
    """Write a prediction as another program wants it."""
    found = prediction.prediction()
    if format != "csv":
        return PlainTextResponse(formats.timeline_text(found, format))
    timeline = bool(found.segments)
    emotions = list(found.probabilities)
    return PlainTextResponse(formats.csv_text([found], emotions, timeline=timeline))


@router.get("/api/models", responses=_failures(421))
async def models(request: Request) -> list[dict[str, Any]]:
    """What each model says about itself: emotions, training data, results, licence."""
    return _service(request).cards


@router.get("/api/health", response_model=Health, responses=_failures(421))
async def health(request: Request) -> Any:
    """Whether the server works, and what it takes."""
    service = _service(request)
    return {
        "status": "ok",
        "version": __version__,
        "models": list(service.models),
        "upload_bytes": service.limits.bytes,
    }


@router.get("/metrics", response_class=PlainTextResponse, responses=_failures(421))
async def metrics(request: Request) -> Response:
    """Counters for Prometheus."""
    return Response(_service(request).monitor.text(), media_type=CONTENT_TYPE)


def _card(name: str, predictor: Predictor) -> dict[str, Any]:
    """A model's card as JSON; ``bytes`` is None for a model that was not loaded from a file."""
    card, path = predictor.card, predictor.model.path
    kept = ("emotions", "temperature", "training", "results", "licence", "notices", "emoscope")
    return {
        "name": name,
        "title": card.name,
        **{key: getattr(card, key) for key in kept},
        "uncertain": dataclasses.asdict(card.uncertain),
        "bytes": os.path.getsize(path) if os.path.isfile(path) else None,
    }


def _path(file: IO[bytes], stack: ExitStack) -> str:
    """A path to an upload, which has no name on disk.

    Linux gives every open file a path of its own; elsewhere a copy with a name is made and removed.
    """
    file.seek(0)
    if os.path.isdir("/proc/self/fd"):
        return f"/proc/{os.getpid()}/fd/{file.fileno()}"
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    copy = Path(folder, "upload")
    with open(copy, "wb") as target:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            target.write(chunk)
    return str(copy)


def _encode(pieces: Iterable[Signal], target: IO[bytes]) -> None:
    resample: soxr.ResampleStream | None = None
    with soundfile.SoundFile(target, "w", LISTENING_RATE, 1, "PCM_16", format="FLAC") as sound:
        for piece in pieces:
            resample = resample or soxr.ResampleStream(piece.rate, LISTENING_RATE, 1)
            sound.write(resample.resample_chunk(piece.samples))
