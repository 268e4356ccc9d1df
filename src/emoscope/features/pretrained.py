"""Loads pretrained speech encoders and runs them block by block, at a recording's own length.

Whisper's encoders, and those that are built like wav2vec 2.0, from the Hugging Face hub or a folder.
16 kHz mono float32 in; the hidden states of block ``k`` (from 1) are what it hands to block ``k + 1``,
before any closing normalisation. More than 30 s is run in pieces whose frames are joined.
"""

import contextlib
import functools
import hashlib
import importlib
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..errors import FeatureError, installed
from ..files import printable, sentence
from . import filters
from .filters import Matrix

RATE = 16_000
N_FFT, HOP = 400, 160  # of Whisper's log-mel spectrogram: a frame of 25 ms every 10 ms
CHUNK = 30 * RATE  # samples
MIN_SAMPLES = RATE // 10  # shorter pieces give the convolutions of some encoders not one frame
MAX_SIZE = 1 << 16  # values per frame, or blocks: some ten times those of the largest encoder
WIDTH = "d_model", "hidden_size"  # values per frame, as Whisper and the others call them
DEPTH = "encoder_layers", "num_hidden_layers"  # blocks
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?", re.ASCII)

Config: TypeAlias = dict[str, Any]


def _transformers(what: str = "a pretrained encoder") -> Any:
    for package in ("torch", "transformers"):
        module = installed(package, what, "encoders")
    return module


@functools.lru_cache(maxsize=32)
def configuration(model: str, *, local: bool = False) -> Config:
    """The ``config.json`` of a local folder or hub model; with `local`, no connection is opened."""
    if local and model.startswith(("//", "\\\\")):  # to Windows the name of another machine
        raise FeatureError(f"encoder '{printable(model)}' is not a folder of this machine")
    file = Path(model) / "config.json"
    try:
        if file.is_file():
            content = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(content, dict):
                return content
            raise ValueError("it is not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise FeatureError(f"encoder '{printable(model)}': config.json: {error}") from error
    try:
        config = _transformers().AutoConfig.from_pretrained(model, local_files_only=local)
    except (OSError, ValueError) as error:
        if local:
            # Nothing that a file names is shown as a command unless it is harmless as one.
            fetch = f"; if you trust it: hf download {model}" if HUB_NAME.fullmatch(model) else ""
            told = {"name": printable(model), "fetch": fetch}
            raise FeatureError(sentence("unfetched_encoder", **told)) from error
        reason = str(error).splitlines()[0]
        raise FeatureError(sentence("no_encoder", name=model, reason=reason)) from error
    # Not every version of transformers keeps the commit; the cache files what it holds under it.
    cached = importlib.import_module("huggingface_hub").try_to_load_from_cache(model, "config.json")
    commit = Path(cached).parent.name if isinstance(cached, str) else None
    return {**config.to_dict(), "_commit_hash": commit}


def size(model: str, keys: tuple[str, str], *, local: bool = False) -> int:
    """A number of an encoder's configuration, :data:`WIDTH` or :data:`DEPTH`."""
    key = keys[0] if is_whisper(model, local=local) else keys[1]
    value = configuration(model, local=local).get(key)
    if type(value) is not int or not 1 <= value <= MAX_SIZE:
        told = {"key": key, "most": MAX_SIZE, "found": f"{value!r:.80}"}
        raise FeatureError(sentence("wrong_configuration", model=model, **told))
    return value


def is_whisper(model: str, *, local: bool = False) -> bool:
    """Whether an encoder is Whisper's, which hears a log-mel spectrogram instead of samples."""
    return configuration(model, local=local).get("model_type") == "whisper"


@functools.lru_cache(maxsize=32)
def fingerprint(model: str, *, local: bool = False) -> str:
    """What identifies an encoder's weights: a SHA-256 of a folder's, the commit of a hub's model."""
    commit = configuration(model, local=local).get("_commit_hash")
    files = sorted(f for f in Path(model).glob("*") if f.suffix in (".safetensors", ".bin"))
    if not files:
        return str(commit)
    digest = hashlib.sha256()
    try:
        for file in files:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise FeatureError(f"encoder '{model}' cannot be read: {error}") from error
    return digest.hexdigest()[:16]


def check_loaded(
    what: str, info: Any, n_blocks: int = MAX_SIZE, prefixes: tuple[str, ...] = ("",),
    whole: str = "of the encoder itself",
) -> None:  # fmt: skip
    """Raise when a weight that the first blocks use did not come from the checkpoint."""

    def is_used(key: str) -> bool:
        block = re.search(r"(?:^|\.)layers\.(\d+)\.", key)
        is_kept = not block or int(block[1]) < n_blocks
        is_of_training = key.endswith("masked_spec_embed")  # missing in some checkpoints
        return is_kept and key.startswith(prefixes) and not is_of_training

    missing = sorted(filter(is_used, info["missing_keys"]))
    wrong = sorted(str(key) for key in info["mismatched_keys"])
    if missing or wrong or info.get("error_msgs"):
        shown = ", ".join((missing + wrong)[:5]) or str(info["error_msgs"][0])
        told = {"missing": len(missing), "wrong": len(wrong), "shown": shown, "whole": whole}
        raise FeatureError(sentence("not_in_checkpoint", what=what, **told))


@functools.lru_cache(maxsize=4)
def mel_filters(n_mels: int = 80) -> Matrix:
    """Triangles of unit area per Hz; 80 for most Whisper models, 128 for large-v3."""
    triangles, areas = filters.mel_triangles(RATE, N_FFT, n_mels)
    return np.ascontiguousarray((triangles / areas).T, dtype=np.float32)


def log_mel(samples: Matrix, *, n_mels: int = 80) -> Matrix:
    """Whisper's spectrogram of at least 201 samples, bins first: (n_mels, n_samples // 160).

    log10 of the power, at most 8 below the maximum, then ``(x + 4) / 4``: Radford et al., "Robust
    Speech Recognition via Large-Scale Weak Supervision", 2022.
    """
    if len(samples) <= N_FFT // 2:  # it cannot be reflected at its ends
        raise ValueError(f"{len(samples)} samples; a spectrogram needs at least {N_FFT // 2 + 1}")
    padded = np.pad(samples, N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    window = filters.hann(N_FFT).astype(np.float32)
    # The frame centred on the very end is left out, as Whisper does.
    spectrum = np.fft.rfft(frames[: len(samples) // HOP] * window, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    levels = np.log10(np.maximum(mel_filters(n_mels) @ power.T, 1e-10))
    levels = np.maximum(levels, levels.max() - 8.0)
    return np.asarray((levels + 4.0) / 4.0, dtype=np.float32)


class PretrainedEncoder:
    """An encoder as :func:`load` gives it: a torch module in evaluation mode, and its blocks."""

    def __init__(
        self, module: Any, stack: Any, n_blocks: int, *, whisper: bool, normalise: bool
    ) -> None:
        self.blocks = stack.layers = stack.layers[:n_blocks]
        self.module = module.float().eval()
        self.whisper, self.normalise = whisper, normalise

    def hidden_states(self, samples: Matrix, layers: Sequence[int]) -> dict[int, Matrix]:
        """Hidden states of some blocks, each [shape=(n_frames, width)], of 16 kHz samples."""
        import torch

        parts: dict[int, list[Matrix]] = {layer: [] for layer in layers}
        n_pieces = max(1, math.ceil(len(samples) / CHUNK))
        with torch.inference_mode():
            for piece in np.array_split(np.asarray(samples, dtype=np.float32), n_pieces):
                padded = np.pad(piece, (0, max(0, MIN_SAMPLES - len(piece))))
                states = self._run(torch.from_numpy(padded))
                for layer in layers:
                    parts[layer].append(states[layer][0].float().numpy())
        return {layer: np.concatenate(pieces) for layer, pieces in parts.items()}

    def _run(self, piece: Any) -> list[Any]:
        import torch

        if self.whisper:
            mel = log_mel(piece.numpy(), n_mels=self.module.conv1.in_channels)
            known = self.module.embed_positions.weight
            return whisper_states(self.module, torch.from_numpy(mel)[None], lambda n: known[:n])
        states: list[Any] = []

        def keep(_module: Any, inputs: Any, result: Any) -> None:
            if not states:
                states.append(inputs[0])
            states.append(result[0] if isinstance(result, tuple) else result)

        hooks = [block.register_forward_hook(keep) for block in self.blocks]
        try:
            if self.normalise:
                piece = (piece - piece.mean()) / (piece.var(unbiased=False) + 1e-7).sqrt()
            self.module(piece[None])
        finally:
            for hook in hooks:
                hook.remove()
        return states


def whisper_states(encoder: Any, mel: Any, positions: Callable[[int], Any]) -> list[Any]:
    """What the first of Whisper's blocks is given, and what each gives, of (1, n_mels, n_frames)."""
    from torch.nn.functional import gelu

    # An even number of frames, so that the stride of 2 gives half as many positions.
    even = mel[:, :, : mel.shape[2] // 2 * 2]
    hidden = gelu(encoder.conv2(gelu(encoder.conv1(even)))).transpose(1, 2)
    states = [hidden + positions(hidden.shape[1])]
    for block in encoder.layers:
        result = block(states[-1], None)
        states.append(result[0] if isinstance(result, tuple) else result)
    return states


@functools.lru_cache(maxsize=2)
def load(model: str, n_blocks: int, *, local: bool = False) -> PretrainedEncoder:
    """Load an encoder, once per process, cut after its first `n_blocks`, at least one."""
    load_kind = _load_whisper if is_whisper(model, local=local) else _load_other
    config = configuration(model, local=local)
    with loading(f"encoder '{model}'"):
        return load_kind(model, n_blocks, config, trust_remote_code=False, local_files_only=local)


@contextlib.contextmanager
def loading(what: str, kind: str = "a pretrained encoder") -> Iterator[Any]:
    """transformers, which is quiet meanwhile; a FeatureError of `what` for all that goes wrong."""
    auto = _transformers(kind)
    logging = auto.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield auto
    except FeatureError:
        raise
    except (OSError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FeatureError(f"{what} cannot be loaded: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _load_whisper(model: str, n_blocks: int, config: Config, **options: bool) -> PretrainedEncoder:
    whisper = importlib.import_module("transformers.models.whisper.modeling_whisper")
    is_encoder = "WhisperEncoder" in (config.get("architectures") or [])
    kind = whisper.WhisperEncoder if is_encoder else whisper.WhisperModel
    module, info = kind.from_pretrained(model, output_loading_info=True, **options)
    # The closing normalisation is never reached here.
    parts, prefix = ("conv", "embed_positions", "layers"), "" if is_encoder else "encoder."
    used = tuple(f"{prefix}{part}" for part in parts)
    check_loaded(f"encoder '{model}'", info, n_blocks, used)
    encoder = module if is_encoder else module.encoder
    return PretrainedEncoder(encoder, encoder, n_blocks, whisper=True, normalise=False)


def _load_other(model: str, n_blocks: int, config: Config, **options: bool) -> PretrainedEncoder:
    auto = _transformers()
    module, info = auto.AutoModel.from_pretrained(model, output_loading_info=True, **options)
    stack = getattr(module, "encoder", None)
    if getattr(stack, "layers", None) is None or not hasattr(module, "feature_extractor"):
        kind = config.get("model_type")
        raise FeatureError(sentence("no_speech_encoder", name=model, kind=kind))
    check_loaded(f"encoder '{model}'", info, n_blocks)
    extractor = auto.AutoFeatureExtractor.from_pretrained(model, **options)
    if extractor.sampling_rate != RATE:
        raise FeatureError(sentence("other_rate", model=model, extractor=extractor, rate=RATE))
    normalise = bool(extractor.do_normalize)
    return PretrainedEncoder(module, stack, n_blocks, whisper=False, normalise=normalise)
