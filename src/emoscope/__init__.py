"""emoscope: speech emotion recognition that is honest by default.

>>> import emoscope
>>> emoscope.predict("speech.wav").emotion  # doctest: +SKIP
'happy'
>>> emoscope.extract_feature("speech.wav").shape  # doctest: +SKIP
(193,)

The names below are imported when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

# onnxruntime (from 1.29 on also outside Windows) reports to its maker unless told not to before it
# starts. Nothing that emoscope does is told to anybody; who wants to can set the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_WHERE = {
    "Corpus": "corpus",
    "EmoscopeError": "errors",
    "FeatureTransformer": "dataset.transformer",
    "Predictor": "prediction",
    "Result": "evaluation.result",
    "Signal": "audio",
    "compare": "evaluation.comparison",
    "extract_feature": "features",
    "load_audio": "audio",
    "load_corpus": "corpus",
    "load_dataset": "dataset",
    "predict": "prediction",
}
_RENAMED = {"load_audio": "load", "load_corpus": "load", "load_dataset": "load"}

__all__ = ["__version__", *_WHERE]

if TYPE_CHECKING:
    from .audio import Signal as Signal
    from .audio import load as load_audio
    from .corpus import Corpus as Corpus
    from .corpus import load as load_corpus
    from .dataset import load as load_dataset
    from .dataset.transformer import FeatureTransformer as FeatureTransformer
    from .errors import EmoscopeError as EmoscopeError
    from .evaluation.comparison import compare as compare
    from .evaluation.result import Result as Result
    from .features import extract_feature as extract_feature
    from .prediction import Predictor as Predictor
    from .prediction import predict as predict

    __all__ += ["load_audio", "load_corpus", "load_dataset"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'emoscope' has no attribute '{name}'")
    module = importlib.import_module(f".{_WHERE[name]}", __name__)
    return getattr(module, _RENAMED.get(name, name))


def __dir__() -> list[str]:
    return sorted(__all__)
