"""Models that recognise emotion: one file per family, every model a scikit-learn estimator.

``names()`` lists them, ``get(name).build(seed)`` makes the default form of one; ``register`` adds a
model of the user's own for the life of the process.
"""

from ..registry import Registry
from .info import ModelInfo

__all__ = ["ModelInfo", "get", "names", "register", "registry"]

registry: Registry[ModelInfo] = Registry(
    "model", __name__, fits=lambda found: isinstance(found, ModelInfo), wanted="a ModelInfo"
)
names, get, register = registry.names, registry.get, registry.register
