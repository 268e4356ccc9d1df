"""Audio classification of transformers: ``hf:ORG/NAME[@REVISION]`` of the hub, or a folder.

Weights are read from safetensors alone, and no code that comes with a model runs. What the hub has is
fetched when it is named so, unless ``HF_HUB_OFFLINE`` is set; a folder opens no connection.
"""

import functools
import os
from pathlib import Path

import yaml

from ..errors import ModelError
from ..features import pretrained
from ..files import printable, sentence
from ..modelfile.card import Input
from . import Array, Foreign

FRAMES = 100  # per second, of a spectrogram transformer


def load(name: str, *, threads: int) -> Foreign:
    """A classifier; a FeatureError or ModelError says why it cannot be used."""
    place = os.path.expanduser(name.removeprefix("hf:"))
    is_folder = Path(place, "config.json").is_file()
    model, _, revision = (place, "", "") if is_folder else place.partition("@")
    if not is_folder and (os.path.isdir(place) or not pretrained.HUB_NAME.fullmatch(model)):
        found = "a folder without config.json" if os.path.isdir(place) else "no such folder"
        raise ModelError(f"{found}; hf: takes a folder of transformers, or ORG/NAME of the hub")
    # Without it transformers has a service of the hub convert what is not in safetensors.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    options: dict[str, bool | str] = {"local_files_only": is_folder, "revision": revision or "main"}
    with pretrained.loading("the model", "a model of transformers") as auto:
        found_in = functools.partial(auto.utils.cached_file, model, **options)
        readme = found_in("README.md", _raise_exceptions_for_missing_entries=False)
        version = pretrained.fingerprint(model) if is_folder else ""
        version = version or Path(found_in("config.json")).parts[-2]
        options["trust_remote_code"] = False
        module, info = auto.AutoModelForAudioClassification.from_pretrained(
            model, output_loading_info=True, use_safetensors=True, **options
        )
        extractor = auto.AutoFeatureExtractor.from_pretrained(model, **options)
    pretrained.check_loaded("the model", info, whole="that was trained to classify")
    config = module.config
    if config.problem_type not in (None, "single_label_classification"):
        raise ModelError(sentence("no_single_label", kind=config.problem_type))
    module.float().eval()

    def hear(samples: Array) -> tuple[Array, float]:
        import torch

        given = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="pt")
        with torch.inference_mode():
            return module(**given).logits[0].numpy(), 0.0

    is_cut = config.model_type == "audio-spectrogram-transformer"  # after so many frames
    longest = extractor.max_length / FRAMES if is_cut else 30.0
    labels = tuple(str(config.id2label[number]) for number in range(config.num_labels))
    sound = Input(kind="samples", rate=extractor.sampling_rate, longest=longest)
    title = os.path.basename(os.path.abspath(model)) if is_folder else model
    card = {"licence": _licence(readme)}
    return Foreign(name=title, labels=labels, hear=hear, version=version, sound=sound, card=card)


def _licence(readme: str | None) -> str:
    try:
        front = yaml.safe_load(Path(readme or "").read_text("utf-8").split("---", 2)[1])
        return printable(str(front.get("license_name") or front["license"]))[:200]
    except (OSError, ValueError, LookupError, AttributeError, yaml.YAMLError):
        return "unknown"
