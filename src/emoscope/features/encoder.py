"""Embeddings of a pretrained speech encoder, pooled over time, as a feature among the others.

Asked for as ``encoder:MODEL[@OPTION=VALUE…]``, say ``encoder:openai/whisper-tiny.en@layers=2+3``,
where MODEL is a Hugging Face hub name or a local folder. Needs the extra ``encoders``. Options:

- ``layers=2+3``: blocks whose hidden states are used, 0 (the input) to the last; by default the
  middle one and the next, which know most about emotion in every encoder we measured
- ``pool=mean+std``: per block ``mean``, ``std`` (population) and ``change`` (mean absolute
  difference of frames 100 ms apart) over time; ``none`` gives the frames, blocks side by side
- ``prepare=speech-level``: :class:`~emoscope.audio.level.TrimAndNormalise` first; default ``none``
- ``speed=0.9``: the clip played slower and deeper, or faster and higher, by a factor from 0.5 to 2
"""

import dataclasses
import re
from pathlib import PurePath

import numpy as np

from .. import audio
from ..audio.level import TrimAndNormalise
from ..errors import FeatureError
from ..files import sentence
from . import pretrained
from .base import Feature, Spec
from .spectrum import Matrix, Spectrum

CHANGE_FRAMES = 5  # 20 ms apart, so 100 ms: about half a syllable
_OPTIONS = {  # what each may be, as a pattern and in words
    "layers": (r"[0-9]{1,4}(\+[0-9]{1,4})*", "block numbers joined by '+', like layers=2+3"),
    "pool": (
        r"none|(mean|std|change)(\+(mean|std|change))*",
        "none, or one or more of mean, std, change joined by '+'",
    ),
    "prepare": (f"none|{TrimAndNormalise.name}", f"none or {TrimAndNormalise.name}"),
    "speed": (r"0?\.[5-9][0-9]*|1(\.[0-9]*)?|2(\.0*)?", "a number from 0.5 to 2"),
}


def pool(hidden: Matrix, poolings: tuple[str, ...]) -> Matrix:
    """Statistics of hidden states over time, side by side; ``change`` within 100 ms is 0."""
    change = np.abs(hidden[CHANGE_FRAMES:] - hidden[:-CHANGE_FRAMES])
    statistics = {
        "mean": hidden.mean(axis=0),
        "std": hidden.std(axis=0),
        "change": change.mean(axis=0) if len(change) else np.zeros(hidden.shape[1]),
    }
    return np.concatenate([statistics[name] for name in poolings]).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Encoder(Feature):
    """Embedding of one clip; the options are those of the module."""

    name = "encoder"

    model: str
    layers: tuple[int, ...] = ()
    poolings: tuple[str, ...] = ("mean", "std")
    prepare: str = "none"
    speed: float = 1.0
    local: bool = False  # never fetch: the encoder is a folder, or in the hub's local cache

    def __post_init__(self) -> None:
        if not self.poolings:
            object.__setattr__(self, "kind", "frames")

    @classmethod
    def from_text(cls, text: str) -> "Encoder":
        """The feature that ``encoder:TEXT`` names; a FeatureError when TEXT cannot be read."""
        model, options = text, dict[str, str]()
        # An ``@`` may also stand in the name of a folder.
        while "=" in (last := model.rpartition("@")[2]) and "@" in model:
            model = model.rpartition("@")[0]
            # Commas are accepted for Python; on a command line they separate features.
            options = {**dict(item.partition("=")[::2] for item in last.split(",")), **options}
        unknown = sorted(set(options) - set(_OPTIONS))
        if not model or unknown:
            found = f"unknown option {unknown}" if unknown else "no model"
            raise FeatureError(sentence("encoder_form", text=text, found=found))
        for option, value in options.items():
            pattern, allowed = _OPTIONS[option]
            if not re.fullmatch(pattern, value):
                raise FeatureError(f"'encoder:{text}': {option}={value} should be {allowed}")
        layers = tuple(map(int, options["layers"].split("+"))) if "layers" in options else ()
        poolings = options.get("pool", "mean+std").replace("none", "")
        prepare, speed = options.get("prepare", "none"), float(options.get("speed", "1"))
        return cls(model, layers, tuple(filter(None, poolings.split("+"))), prepare, speed)

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks used, checked against the encoder's depth."""
        deepest = pretrained.size(self.model, pretrained.DEPTH, local=self.local)
        middle = max(1, deepest // 2)
        blocks = self.layers or tuple(sorted({middle, min(middle + 1, deepest)}))
        if max(blocks) > deepest:
            told = {"deepest": deepest, "asked": max(blocks)}
            raise FeatureError(sentence("no_such_layer", model=self.model, **told))
        return blocks

    @property
    def columns(self) -> tuple[str, ...]:
        """Like ``encoder_whisper-tiny.en_b2_mean_0001``; of frames, without the pooling."""
        stem = f"encoder_{PurePath(self.model).name}"
        stem += "" if self.prepare == "none" else f"_{self.prepare}"
        stem += "" if self.speed == 1 else f"_x{self.speed:g}"
        width = pretrained.size(self.model, pretrained.WIDTH, local=self.local)
        return tuple(
            f"{stem}_b{block}{pooling}_{index:04d}"
            for block in self.blocks
            for pooling in [f"_{pooling}" for pooling in self.poolings] or [""]
            for index in range(1, width + 1)
        )

    def hidden_states(self, spectrum: Spectrum) -> list[Matrix]:
        """Hidden states of every block used, each of shape (n_frames, width)."""
        signal = spectrum.signal
        played = audio.Signal(signal.samples, round(signal.rate * self.speed), signal.path)
        samples = audio.resample(played, pretrained.RATE).samples
        if self.prepare != "none":
            samples = TrimAndNormalise()(samples, pretrained.RATE)
        encoder = pretrained.load(self.model, max(1, *self.blocks), local=self.local)
        states = encoder.hidden_states(samples, self.blocks)
        return [states[block] for block in self.blocks]

    def extract(self, spectrum: Spectrum) -> Matrix:
        """Embedding of one clip; without pooling its hidden states, for models that pool themselves."""
        states = self.hidden_states(spectrum)
        if not self.poolings:
            return np.concatenate(states, axis=1)
        return np.concatenate([pool(hidden, self.poolings) for hidden in states])

    @property
    def spec(self) -> Spec:
        """Name, version, parameters, and what identifies the weights: the same for every copy."""
        return {
            "name": self.name,
            "version": self.version,
            "model": PurePath(self.model).name,
            "weights": pretrained.fingerprint(self.model, local=self.local),
            "layers": list(self.blocks),
            "poolings": list(self.poolings),
            "prepare": None if self.prepare == "none" else TrimAndNormalise().spec,
            **({} if self.speed == 1 else {"speed": self.speed}),
        }


MEMBERS = {"encoder": Encoder}
