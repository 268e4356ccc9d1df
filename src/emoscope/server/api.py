"""The routes under ``/api``, what they take and give.

The descriptions here are what ``/openapi.json`` and the page at ``/docs`` say.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, File, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from .._version import __version__
from ..prediction import Prediction, Segment, formats
from .forms import BoundedRoute, SentFile
from .guard import TICKET
from .limits import RefusalError
from .monitoring import CONTENT_TYPE
from .work import NO_ROOM, Service, Unusable

LONGEST = 1e7
"""Seconds; four months, longer than any recording."""
MOST_SEGMENTS = 50_000
"""Twenty hours of speech have fewer."""
MOST_EXPORTED = 50_000_000
"""Characters of an export, about: each segment is written with all that is said of the whole."""
MOST_FAULTS = 10
"""Faults of an export's JSON that are named one by one."""


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
    segments: list[SegmentModel] = Field(
        max_length=MOST_SEGMENTS, description="With timeline=true: no gaps, in order."
    )

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
        411: "The length of the body is not given.",
        413: "Too large or too many files.",
        415: "Text in a character set that is not read; UTF-8 is.",
        421: "Addressed to another host.",
        422: "Not as described here, or no file could be used.",
        429: "Too much of this address is in work.",
        503: "Too much is in work; try again after Retry-After seconds, if it is given.",
    }
    return {status: {"model": Failure, "description": reasons[status]} for status in statuses}


REFUSALS = _failures(400, 403, 408, 411, 413, 415, 421, 422, 429, 503)


router = APIRouter(route_class=BoundedRoute)


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
    judge = functools.partial(service.predict, predictor=predictor, timeline=timeline)
    outcomes = await service.each(judge, files, request.scope[TICKET], request.receive)
    found = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
    bad = [outcome for outcome in outcomes if isinstance(outcome, Unusable)]
    if not found:
        status = 503 if any(error.reason == NO_ROOM for error in bad) else 422
        raise RefusalError(status, "; ".join(f"{error.file}: {error.reason}" for error in bad))
    predictions = [prediction.to_dict() for prediction in found]
    errors = [dataclasses.asdict(error) for error in bad]
    return {"model": name, "predictions": predictions, "errors": errors}


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
) -> SentFile:
    """Decode a recording to mono FLAC of 16 kHz, for browsers that cannot play its format."""
    service = _service(request)
    (decoded,) = await service.each(service.listen, files, request.scope[TICKET], request.receive)
    return SentFile(decoded, media_type="audio/flac")


@router.post(
    "/api/export",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **REFUSALS},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/PredictionModel"}}
            },
        }
    },
)
async def export(
    request: Request,
    format: Annotated[Literal["csv", "textgrid", "eaf", "srt", "vtt"], Query()],
) -> PlainTextResponse:
    """Write a prediction as another program wants it."""
    # Not through FastAPI: it would list every fault, of which there may be hundred thousands, and
    # take text that cannot be written again.
    try:
        prediction = PredictionModel.model_validate(from_json(await request.body()))
    except ValidationError as error:
        if error.error_count() > MOST_FAULTS:
            raise RefusalError(422, f"body: no prediction, {error.error_count()} faults") from None
        raise RequestValidationError(error.errors()) from None
    except ValueError as error:
        raise RefusalError(422, f"body: no JSON: {error}") from None
    shared = len(prediction.file) + sum(map(len, prediction.warnings))
    shared += 20 * len(prediction.probabilities) + 100
    if shared * len(prediction.segments) > MOST_EXPORTED:
        raise RefusalError(422, "body: too many segments for so many emotions and so long texts")
    # In a thread: the event loop has the other clients to serve. One at a time, for the memory.
    text = await run_sync(_exported, prediction, format, limiter=_service(request).exports)
    return PlainTextResponse(text)


def _exported(prediction: PredictionModel, format: str) -> str:
    found = prediction.prediction()
    if format != "csv":
        return formats.timeline_text(found, format)
    return formats.csv_text([found], list(found.probabilities), timeline=bool(found.segments))


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


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **_failures(421)},
)
async def metrics(request: Request) -> Response:
    """Counters for Prometheus."""
    return Response(_service(request).monitor.text(), media_type=CONTENT_TYPE)
