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

# onnxruntime (from 1.29 on also outside Windows) reports to its maker unless told not to before it
# starts. Nothing that emoscope does is told to anybody; who wants to can set the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

_WHERE = {
    "Corpus": "corpus",
    "EmoscopeError": "errors",
    "FeatureTransformer": "transformers",
    "Predictor": "recognition",
    "Result": "result",
    "Signal": "audio",
    "compare": "experiment",
    "extract_feature": "features",
    "load_audio": "audio",
    "load_corpus": "corpus",
    "load_dataset": "dataset",
    "predict": "recognition",
}
_RENAMED = {"load_audio": "load", "load_corpus": "load", "load_dataset": "load"}

__all__ = ["__version__", *_WHERE]

if TYPE_CHECKING:
    from .audio import Signal as Signal
    from .audio import load as load_audio
    from .corpus import Corpus as Corpus
    from .corpus import load as load_corpus
    from .dataset import load as load_dataset
    from .errors import EmoscopeError as EmoscopeError
    from .experiment import compare as compare
    from .features import extract_feature as extract_feature
    from .recognition import Predictor as Predictor
    from .recognition import predict as predict
    from .result import Result as Result
    from .transformers import FeatureTransformer as FeatureTransformer

    __all__ += ["load_audio", "load_corpus", "load_dataset"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'emoscope' has no attribute '{name}'")
    module = importlib.import_module(f".{_WHERE[name]}", __name__)
    return getattr(module, _RENAMED.get(name, name))


def __dir__() -> list[str]:
    return sorted(__all__)
