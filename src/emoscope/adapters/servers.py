"""``http://HOST:PORT[?model=NAME]``: a server with emoscope's HTTP API as a model.

Each recording, or window of one, goes to ``POST /api/predict``; ``/api/models`` says what it knows. A
label is uncertain as the server says: below its threshold, or far from its training data.
"""

from __future__ import annotations

import dataclasses
import http.client
import io
import json
import re
import secrets
import urllib.error
import urllib.request
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
import numpy as np
import soundfile

from ..errors import ModelError, UnknownNameError
from ..modelfile.card import FORMAT, Card, OutOfDomainDetector
from . import SMALLEST, Array, Foreign

RATE = 16_000  # Hz of what is sent to a model that does not say its own
TIMEOUT = 60.0  # seconds without an answer
MAX_BYTES = 1 << 24  # of an answer
LONGEST = 15.0  # seconds that a server labels as one utterance

Kind = TypeVar("Kind")


@dataclasses.dataclass(frozen=True)
class Found:
    """A prediction of ``/api/predict``."""

    probabilities: dict[str, float]
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Answer:
    """What ``/api/predict`` says of one recording."""

    predictions: tuple[Found, ...]


def load(name: str, *, threads: int) -> Foreign:
    """The first model of a server, or the one that is asked for; a ModelError without an answer."""
    scheme, _, rest = name.partition(":")
    parts = urlsplit(
        name if rest.startswith("//") else rest if "://" in rest else f"{scheme}://{rest}"
    )
    address = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    asked = parse_qs(parts.query).get("model", [""])[0]
    models = {str(m.get("name")): m for m in _ask(f"{address}/api/models", list[dict[str, Any]])}
    if not models or (asked and asked not in models):
        raise UnknownNameError("model of this server", asked, models)
    name, model = (asked, models[asked]) if asked else next(iter(models.items()))
    sound = {"kind": "samples", "rate": model.get("rate") or RATE}
    more = {"format": FORMAT, "input": sound, "embedding_width": 1, "name": model.get("title")}
    told = Card.from_json(json.dumps(model | more | {"optimistic": bool(model.get("optimistic"))}))
    url = f"{address}/api/predict?model={quote(name)}"

    def hear(samples: Array) -> tuple[Array, float]:
        found = _ask(url, Answer, *_form(samples, told.input.rate)).predictions[0]
        shares = [found.probabilities.get(emotion, 0.0) for emotion in told.emotions]
        far = "".join(said for said in found.warnings if said.startswith("unfamiliar:"))
        times = re.findall(r"[\d.]+(?= times)", far)
        distance = float(times[0]) if times else 1.01 * bool(far)  # "slightly farther"
        return np.log(np.array(shares, np.float32) + SMALLEST), distance

    nowhere = np.zeros(1, np.float32)
    domain = OutOfDomainDetector(
        mean=nowhere, components=np.zeros((0, 1), np.float32), variances=nowhere[:0],
        residual=1.0, threshold=1.0,
    )  # fmt: skip
    same = ("uncertain", "held_out", "training", "results", "optimistic", "licence", "notices")
    return Foreign(
        name=told.name, labels=told.emotions, rate=told.input.rate, hear=hear, longest=LONGEST,
        version=json.dumps([address, model]), said=(f"recordings are sent to {address}",),
        card={**{key: getattr(told, key) for key in same}, "domain": domain},
    )  # fmt: skip


def _form(samples: Array, rate: int) -> tuple[bytes, str]:
    """A form with one recording, and its content type."""
    sound, boundary = io.BytesIO(), secrets.token_hex(16)
    soundfile.write(sound, samples, rate, "FLOAT", format="WAV")
    disposition = 'content-disposition: form-data; name="files"; filename="recording.wav"'
    head, tail = f"--{boundary}\r\n{disposition}\r\n\r\n", f"\r\n--{boundary}--\r\n"
    form = head.encode() + sound.getvalue() + tail.encode()
    return form, f"multipart/form-data; boundary={boundary}"


def _ask(url: str, kind: type[Kind], form: bytes | None = None, content: str = "") -> Kind:
    """What a server answers, checked; a ModelError without an answer of that kind."""
    request = urllib.request.Request(url, form, {"content-type": content} if form else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return msgspec.json.decode(answer.read(MAX_BYTES), type=kind)
    except urllib.error.HTTPError as error:
        said = error.read(1000).decode("utf-8", "replace")
        raise ModelError(f"{url} answers {error.code}: {said}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, msgspec.MsgspecError):
            raise ModelError(f"{url} does not answer as emoscope's API does: {error}") from error
        reason = getattr(error, "reason", None) or error
        helps = "is a server there? One is started with: emoscope serve"
        raise ModelError(f"{url} gives no answer: {reason}; {helps}") from error
