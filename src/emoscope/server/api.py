"""The routes under ``/api``, what they take and give.

The descriptions here, and in ``server.toml``, are what ``/openapi.json`` and the page at ``/docs`` say.
"""

import functools
import math
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Depends, File, Query, Request, UploadFile
from fastapi.responses import JSONResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from pydantic.dataclasses import dataclass
from pydantic.json_schema import SkipJsonSchema
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from .._version import __version__
from ..files import shipped_table
from ..prediction import Prediction, Segment
from ..prediction.sources import MOST_SPEAKERS, SPEAKER, Division
from ..prediction.summary import Summary
from .adapting import adapted
from .progress import Tell, in_lines
from .work import Service, Unusable

_TABLE = shipped_table("server.toml")


def _described(kind: Callable[..., Any], name: str, **limits: int) -> Any:
    return kind(description=_TABLE["described"][name].format(most=MOST_SPEAKERS), **limits)


_told, _asked = (functools.partial(_described, kind) for kind in (Field, Query))
_sent = functools.partial(_described, File, min_length=1)
_Axis: TypeAlias = Annotated[float | None, Field(ge=-1, le=1)]  # derived from acted emotions


@dataclass(frozen=True)
class FoundSegment(Segment):
    """A part of a recording; arousal and valence are absent where nobody speaks."""

    arousal: _Axis = None
    valence: _Axis = None


@dataclass(frozen=True)
class FoundSummary(Summary):
    """All channels of a recording at a glance; times in seconds, lists in the order of time."""

    moments: tuple[FoundSegment, ...]


@dataclass(frozen=True)
class FoundPrediction(Prediction):
    """A prediction, whose arousal and valence are derived from acted emotions."""

    confidence: Annotated[float, Field(ge=0, le=1)]
    segments: tuple[FoundSegment, ...] = ()
    summary: FoundSummary | None = None  # with a timeline
    channels: SkipJsonSchema[tuple[()]] = ()  # each is a prediction of its own
    arousal: _Axis = None
    valence: _Axis = None


class Predictions(BaseModel):
    """The answer to one request."""

    model: str
    predictions: Annotated[list[FoundPrediction], _told("predictions")]
    errors: Annotated[list[Unusable], _told("unusable")]


class Adapted(BaseModel):
    """A model adapted to corrections."""

    card: Annotated[dict[str, object], _told("card")]
    errors: Annotated[list[str], _told("unusable_corrections")]
    file: Annotated[str, _told("model_file")]


class Health(BaseModel):
    """Whether the server works."""

    status: Literal["ok"]
    version: str
    models: list[str]
    upload_bytes: Annotated[int | None, _told("upload_bytes")]


class Failure(BaseModel):
    """Why a request was not answered."""

    error: str


Responses: TypeAlias = "dict[int | str, dict[str, Any]]"
FAILURES: Responses = {
    int(status): {"model": Failure, "description": reason}
    for status, reason in _TABLE["refusals"].items()
}
WRONG_HOST: Responses = {421: FAILURES[421]}
LINES: Responses = {200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}
TEXT: Responses = {200: {"content": {"text/plain": {}}}}
FLAC: Responses = {200: {"content": {"audio/flac": {}}}}


async def _known(request: Request) -> None:
    """Refuse what a request sends and its route does not take, a misspelt parameter for one."""
    route = request.scope["route"].dependant
    if not route.body_params:
        return
    query, body = ([p.alias for p in ps] for ps in (route.query_params, route.body_params))
    allowed = (
        f"allowed: {', '.join(query) or 'nothing'} in the query, {', '.join(body)} in the body"
    )
    form = await request.form()
    for where, sent, names in (("query", request.query_params, query), ("body", form, body)):
        if unknown := sorted(set(sent) - set(names)):
            raise HTTPException(422, f"unknown parameter '{unknown[0]}' in the {where}; {allowed}")


router = APIRouter(dependencies=[Depends(_known)])


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Work: TypeAlias = Annotated[Service, Depends(_service)]
ModelName: TypeAlias = Annotated[str | None, _asked("model")]
InLines: TypeAlias = Annotated[bool, _asked("stream")]
Recordings: TypeAlias = Annotated[list[UploadFile], _sent("files")]


@router.post("/api/predict", response_model=Predictions, responses=LINES | FAILURES)
async def predict(
    request: Request,
    service: Work,
    files: Recordings,
    timeline: Annotated[bool, _asked("timeline")] = False,
    together: Annotated[bool, _asked("together")] = False,
    model: ModelName = None,
    channel: Annotated[str | None, _asked("channel")] = None,
    by: Annotated[Literal["channel", "speaker", "none"], _asked("by")] = "channel",
    speakers: Annotated[int | None, _asked("speakers")] = None,
    stream: InLines = False,
) -> Any:
    """Recognise the emotion of one or more recordings."""
    division = Division(by, speakers)
    if together and (timeline or by == SPEAKER):
        raise HTTPException(422, "query: together cannot be combined with timeline")
    name, predictor = service.model(model)

    async def answer(tell: Tell | None = None) -> dict[str, object]:
        function = functools.partial(
            service.predict, predictor=predictor, timeline=timeline, channel=channel,
            division=division, tell=tell,
        )  # fmt: skip
        outcomes = await service.run_each(request, function, files)
        used = [outcome for outcome in outcomes if not isinstance(outcome, Unusable)]
        found = [one for outcome in used for one in outcome]
        label = predictor.learned(found if together else ())
        predictions = [replace(p, file=r.prediction.file) for r in found for p in label(r).each]
        errors = [outcome for outcome in outcomes if isinstance(outcome, Unusable)]
        if not predictions:
            raise HTTPException(422, "; ".join(f"{error.file}: {error.reason}" for error in errors))
        # to_dict rounds as the JSON output of the command line does.
        rounded = [prediction.to_dict() for prediction in predictions]
        return {"model": name, "predictions": rounded, "errors": list(map(asdict, errors))}

    if stream:
        return await in_lines(answer)
    # As it is: the model would add a channel to each prediction.
    return JSONResponse(await answer())


@router.post("/api/adapt", response_model=Adapted, responses=LINES | FAILURES)
async def adapt(
    request: Request,
    service: Work,
    files: Recordings,
    corrections: UploadFile,
    model: ModelName = None,
    stream: InLines = False,
) -> Any:
    """Adapt a model to a CSV table of corrections: file, start, end, emotion, speaker, audio_channel.

    Gives the new model, and the UAR before and after.
    """
    _, predictor = service.model(model)

    async def answer(tell: Tell | None = None) -> dict[str, object]:
        function = functools.partial(
            adapted, files=files, model=predictor.model, seconds=service.limits.seconds, tell=tell
        )
        return (await service.run_each(request, function, [corrections]))[0]

    return await in_lines(answer) if stream else JSONResponse(await answer())


@router.post("/api/listen", response_class=Response, responses=FLAC | FAILURES)
async def listen(
    request: Request,
    service: Work,
    files: Annotated[list[UploadFile], _sent("file", max_length=1)],
) -> Response:
    """Decode a recording to mono FLAC of 16 kHz, for browsers that cannot play its format."""
    (flac,) = await service.run_each(request, service.decode, files)
    size = flac.seek(0, os.SEEK_END)
    flac.seek(0)
    length = {"content-length": str(size)}
    pieces, closed = iter(functools.partial(flac.read, 1 << 20), b""), BackgroundTask(flac.close)
    return StreamingResponse(pieces, media_type="audio/flac", headers=length, background=closed)


@router.get("/api/models", responses=WRONG_HOST)
async def models(service: Work) -> list[dict[str, object]]:
    """What each model says about itself: emotions, training data, results, licence."""
    return service.cards


@router.get("/api/health", response_model=Health, responses=WRONG_HOST)
async def health(service: Work) -> Any:
    """Whether the server works, and what it takes."""
    return {
        "status": "ok",
        "version": __version__,
        "models": list(service.models),
        "upload_bytes": None if math.isinf(most := service.limits.bytes) else int(most),
    }


@router.get("/metrics", response_class=Response, responses=TEXT | WRONG_HOST)
async def metrics(service: Work) -> Response:
    """Counters for Prometheus."""
    return Response(generate_latest(service.monitor.registry), media_type=CONTENT_TYPE_LATEST)
