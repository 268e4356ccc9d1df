"""The features that a model takes, as its card says."""

import dataclasses
import json
from typing import TYPE_CHECKING

from ..errors import FeatureError, ModelError
from ..modelfile.card import Card

if TYPE_CHECKING:
    from ..features.base import Feature


def features_of(card: Card) -> "list[Feature]":
    """The features a model was trained on; none of one that takes samples."""
    if card.input.kind == "samples":
        return []
    from .. import features
    from ..features.encoder import Encoder

    if not card.input.features:
        raise ModelError("the model's card does not say which features it was trained on")
    chosen = []
    for entry in card.input.features:
        try:
            feature = features.get(entry.name)
            # The card may come from anybody: it must not decide what is fetched from where.
            if isinstance(feature, Encoder):
                feature = dataclasses.replace(feature, local=True)
            spec = feature.spec
        except FeatureError as error:
            raise ModelError(f"the model's features cannot be computed here: {error}") from error
        chosen.append(feature)
        # Through JSON, as the card was: tuples come back as lists.
        if json.loads(json.dumps(spec)) != entry.spec:
            trained = f"the model was trained on '{entry.name}' as {entry.spec}"
            raise ModelError(f"{trained}; this version of emoscope computes it as {spec}")
    return chosen
