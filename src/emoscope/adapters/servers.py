"""``http://HOST:PORT[?model=NAME]``: a server with emoscope's HTTP API as a model.

Each recording, or window of one, goes to ``POST /api/predict``; ``/api/models`` says what it knows. A
label is uncertain as the server says: below its threshold, or far from its training data.
"""

import io
import json
import re
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
import numpy as np
import requests
import soundfile

from ..errors import ModelError, UnknownNameError
from ..files import sentence
from ..modelfile.card import FORMAT, Card, OutOfDomainDetector
from . import SMALLEST, Array, Foreign

RATE = 16_000  # Hz of what is sent to a model that does not say its own
TIMEOUT = 60.0  # seconds without an answer
LONGEST = 15.0  # seconds that a server labels as one utterance

Kind = TypeVar("Kind")


class Answer(msgspec.Struct, frozen=True):
    """What ``/api/predict`` answers."""

    predictions: Annotated[tuple["Found", ...], msgspec.Meta(min_length=1)]


class Found(msgspec.Struct, frozen=True):
    """A prediction of ``/api/predict``."""

    probabilities: dict[str, float]
    warnings: tuple[str, ...] = ()


def load(name: str, *, threads: int) -> Foreign:
    """The first model of a server, or the one that is asked for; a ModelError without an answer."""
    scheme, _, rest = name.partition(":")
    bare = f"{scheme}://{rest.removeprefix('//')}"
    parts = urlsplit(rest if "://" in rest else bare)
    address = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    asked = parse_qs(parts.query).get("model", [""])[0]
    each = _ask("GET", f"{address}/api/models", list[dict[str, Any]])
    models = {str(model.get("name")): model for model in each}
    if not models or (asked and asked not in models):
        raise UnknownNameError("model of this server", asked, models)
    name, model = (asked, models[asked]) if asked else next(iter(models.items()))
    sound = {"kind": "samples", "rate": model.get("rate") or RATE, "longest": LONGEST}
    more = {"format": FORMAT, "input": sound, "embedding_width": 1, "name": model.get("title")}
    told = Card.from_json(json.dumps(model | more | {"optimistic": bool(model.get("optimistic"))}))
    url = f"{address}/api/predict?model={quote(name)}"

    def hear(samples: Array) -> tuple[Array, float]:
        soundfile.write(wav := io.BytesIO(), samples, told.input.rate, "FLOAT", format="WAV")
        recording = {"files": ("recording.wav", wav.getvalue())}
        found = _ask("POST", url, Answer, files=recording).predictions[0]
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
        name=told.name, labels=told.emotions, sound=told.input, hear=hear,
        version=json.dumps([address, model]), said=(f"recordings are sent to {address}",),
        card={**{key: getattr(told, key) for key in same}, "domain": domain},
    )  # fmt: skip


def _ask(method: str, url: str, kind: type[Kind], **sent: Any) -> Kind:
    """What a server answers, checked; a ModelError without an answer of that kind."""
    try:  # a recording goes where its user says, and on to nobody else
        answer = requests.request(method, url, timeout=TIMEOUT, allow_redirects=False, **sent)
        if answer.status_code != 200:
            raise ModelError(f"{url} answers {answer.status_code}: {answer.text[:1000]}")
        return msgspec.json.decode(answer.content, type=kind)
    except requests.RequestException as error:
        raise ModelError(sentence("no_answer", url=url, error=type(error).__name__)) from error
    except msgspec.MsgspecError as error:
        raise ModelError(f"{url} does not answer as emoscope's API does: {error}") from error
