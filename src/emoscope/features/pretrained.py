"""Loads pretrained speech encoders and runs them block by block, at a recording's own length.

Families: the encoders of Whisper, and everything that takes a waveform and is built like wav2vec
2.0 (wav2vec2, HuBERT, WavLM, data2vec-audio, UniSpeech …). Weights come from the Hugging Face hub
or from a local folder made by ``save_pretrained``.

Conventions: 16 kHz mono float32 in; the hidden states of block ``k`` (counted from 1) are what
block ``k`` hands to block ``k + 1``, of shape ``(n_frames, width)``, before any closing
normalisation; ``k = 0`` is what enters the first block. A recording longer than 30 s is run in
pieces of at most 30 s whose frames are joined, so memory stays bounded.

torch and transformers are imported by :func:`load` alone.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError, MissingExtraError
from . import whisper_mel

RATE = whisper_mel.RATE
CHUNK = whisper_mel.CHUNK_SECONDS * RATE
SHORTEST = RATE // 10
"""Samples; shorter pieces (0.1 s) give the convolutions of some encoders not one frame."""
UNUSED_WEIGHTS = {"masked_spec_embed"}
"""Missing in some checkpoints and used while training only."""


def _transformers() -> Any:
    try:
        importlib.import_module("torch")
        return importlib.import_module("transformers")
    except ImportError as error:
        raise MissingExtraError("a pretrained encoder", error.name or "torch", "deep") from error


@functools.lru_cache(maxsize=32)
def configuration(model: str) -> dict[str, Any]:
    """The configuration of an encoder: its own ``config.json``.

    Parameters
    ----------
    model : str
        Hub name or local folder.

    Raises
    ------
    FeatureError
        When there is no such encoder, here or in the hub's local cache.
    """
    local = Path(model) / "config.json"
    if local.is_file():
        return dict(json.loads(local.read_text(encoding="utf-8")))
    try:
        config = _transformers().AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise FeatureError(
            f"no encoder '{model}': neither a folder with config.json nor a model that the "
            f"Hugging Face hub or its local cache has ({str(error).splitlines()[0]})"
        ) from error
    return {**config.to_dict(), "_commit_hash": config._commit_hash}


def width(model: str) -> int:
    """Number of values per frame of an encoder."""
    config = configuration(model)
    return int(config["d_model"] if is_whisper(model) else config["hidden_size"])


def depth(model: str) -> int:
    """Number of blocks of an encoder."""
    config = configuration(model)
    return int(config["encoder_layers"] if is_whisper(model) else config["num_hidden_layers"])


def is_whisper(model: str) -> bool:
    """Whether an encoder is Whisper's, which hears a log-mel spectrogram instead of samples."""
    return configuration(model).get("model_type") == "whisper"


@functools.lru_cache(maxsize=32)
def fingerprint(model: str) -> str:
    """What identifies the weights of an encoder, wherever they lie.

    Returns
    -------
    str
        For a folder the first 16 hexadecimal digits of SHA-256 over its weight files, for a model
        of the hub its commit.
    """
    files = sorted(f for f in Path(model).glob("*") if f.suffix in (".safetensors", ".bin"))
    if not files:
        return str(configuration(model).get("_commit_hash"))
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def _check_loaded(model: str, info: Any, prefixes: tuple[str, ...], kept: int) -> None:
    """Raise when a weight that the kept blocks use did not come from the checkpoint."""

    def used(key: str) -> bool:
        if prefixes and not key.startswith(prefixes):
            return False
        number = key.partition("layers.")[2].split(".")[0]
        return key.split(".")[-1] not in UNUSED_WEIGHTS and not (
            number.isdigit() and int(number) >= kept
        )

    missing = sorted(key for key in info["missing_keys"] if used(key))
    wrong = sorted(str(key) for key in info["mismatched_keys"])
    if missing or wrong or info.get("error_msgs"):
        shown = ", ".join((missing + wrong)[:5]) or str(info["error_msgs"][0])
        raise FeatureError(
            f"encoder '{model}': {len(missing)} weights are not in the checkpoint and "
            f"{len(wrong)} have another shape ({shown}); they would be random numbers. "
            "Give a checkpoint of the encoder itself."
        )


class PretrainedEncoder:
    """An encoder whose first blocks can be run; made by :func:`load`.

    Attributes
    ----------
    model : str
        Hub name or folder.
    module : torch.nn.Module
        The encoder in evaluation mode, cut after the last block asked for.
    blocks : torch.nn.ModuleList
        Its blocks.
    """

    def __init__(self, model: str, module: Any, blocks: Any, normalise: bool) -> None:
        self.model, self.module, self.blocks, self.normalise = model, module, blocks, normalise

    def hidden_states(
        self, samples: NDArray[np.float32], layers: Sequence[int]
    ) -> dict[int, NDArray[np.float32]]:
        """Run one recording.

        Parameters
        ----------
        samples : ndarray of float32, shape (n_samples,)
            16 kHz mono.
        layers : sequence of int
            Blocks wanted, 0 to the number of blocks.

        Returns
        -------
        dict of int to ndarray of float32, shape (n_frames, width)
        """
        import torch

        parts: dict[int, list[NDArray[np.float32]]] = {layer: [] for layer in layers}
        with torch.inference_mode():
            for piece in _pieces(samples):
                states = self._run(torch.from_numpy(piece))
                for layer in layers:
                    parts[layer].append(states[layer][0].float().numpy())
        return {layer: np.concatenate(found) for layer, found in parts.items()}

    def _run(self, piece: Any) -> list[Any]:
        """Hidden states 0 to the last block, each of shape (1, n_frames, width)."""
        states: list[Any] = []
        if is_whisper(self.model):
            states.append(self._whisper_input(piece))
            for block in self.blocks:
                result = block(states[-1], None)
                states.append(result[0] if isinstance(result, tuple) else result)
            return states
        if self.normalise:
            piece = (piece - piece.mean()) / (piece.var(unbiased=False) + 1e-7).sqrt()
        hooks = [
            self.blocks[0].register_forward_pre_hook(
                lambda _module, inputs: states.append(inputs[0])
            )
        ]
        hooks += [
            block.register_forward_hook(
                lambda _module, _inputs, result: states.append(
                    result[0] if isinstance(result, tuple) else result
                )
            )
            for block in self.blocks
        ]
        try:
            self.module(piece[None])
        finally:
            for hook in hooks:
                hook.remove()
        return states

    def _whisper_input(self, piece: Any) -> Any:
        import torch
        from torch.nn.functional import gelu

        mel = whisper_mel.log_mel(piece.numpy(), n_mels=self.module.conv1.in_channels)
        # An even number of frames, so that the stride of 2 gives half as many positions.
        frames = torch.from_numpy(mel)[None, :, : mel.shape[1] // 2 * 2]
        hidden = gelu(self.module.conv2(gelu(self.module.conv1(frames)))).transpose(1, 2)
        return hidden + self.module.embed_positions.weight[: hidden.shape[1]]


def _pieces(samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The recording in equal pieces of at most 30 s, padded with zeros to at least 0.1 s."""
    n_pieces = max(1, math.ceil(len(samples) / CHUNK))
    for piece in np.array_split(np.asarray(samples, dtype=np.float32), n_pieces):
        yield np.pad(piece, (0, max(0, SHORTEST - len(piece))))


@functools.lru_cache(maxsize=2)
def load(model: str, n_blocks: int) -> PretrainedEncoder:
    """Load an encoder once per process, cut after a number of blocks.

    Parameters
    ----------
    model : str
        Hub name or local folder.
    n_blocks : int
        Blocks to keep, at least 1.

    Raises
    ------
    FeatureError
        When the model does not exist, is no speech encoder, or does not bring every weight.
    MissingExtraError
        When torch or transformers is not installed.
    """
    transformers = _transformers()
    configuration(model)
    options: dict[str, Any] = {"output_loading_info": True, "trust_remote_code": False}
    silent = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        if is_whisper(model):
            module, normalise = _load_whisper(model, n_blocks, options), False
            blocks = module.layers = module.layers[:n_blocks]
        else:
            module, normalise = _load_waveform_encoder(model, n_blocks, options)
            blocks = module.encoder.layers = module.encoder.layers[:n_blocks]
    except (OSError, ValueError, AttributeError, RuntimeError) as error:
        raise FeatureError(f"encoder '{model}' cannot be loaded: {error}") from error
    finally:
        transformers.utils.logging.set_verbosity(silent)
        if bars:
            transformers.utils.logging.enable_progress_bar()
    return PretrainedEncoder(model, module.float().eval(), blocks, normalise)


def _load_whisper(model: str, n_blocks: int, options: dict[str, Any]) -> Any:
    whisper = importlib.import_module("transformers.models.whisper.modeling_whisper")
    if "WhisperEncoder" in (configuration(model).get("architectures") or []):
        module, info = whisper.WhisperEncoder.from_pretrained(model, **options)
        # The closing normalisation is never reached here.
        _check_loaded(model, info, ("conv", "embed_positions", "layers"), n_blocks)
        return module
    whole, info = whisper.WhisperModel.from_pretrained(model, **options)
    prefixes = ("encoder.conv", "encoder.embed_positions", "encoder.layers")
    _check_loaded(model, info, prefixes, n_blocks)
    return whole.encoder


def _load_waveform_encoder(model: str, n_blocks: int, options: dict[str, Any]) -> tuple[Any, bool]:
    transformers = _transformers()
    module, info = transformers.AutoModel.from_pretrained(model, **options)
    if not hasattr(getattr(module, "encoder", None), "layers") or not hasattr(
        module, "feature_extractor"
    ):
        raise FeatureError(
            f"'{model}' is a {configuration(model).get('model_type')} model; an encoder of speech "
            "is needed: Whisper, wav2vec2, HuBERT, WavLM, data2vec-audio or one built like them"
        )
    _check_loaded(model, info, (), n_blocks)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(model)
    if extractor.sampling_rate != RATE:
        raise FeatureError(
            f"encoder '{model}' wants {extractor.sampling_rate} Hz; only {RATE} Hz can be given"
        )
    return module, bool(extractor.do_normalize)
