"""Every figure that emoscope draws; the only place that knows matplotlib.

A function takes what it shows and an ``ax``, by default the current one, returns it and never saves.
"""

from collections.abc import Callable
from typing import Any

from ...registry import Registry
from .results import *  # noqa: F403
from .sound import *  # noqa: F403
from .sound import SHOWN as SHOWN
from .style import *  # noqa: F403
from .timelines import *  # noqa: F403

registry: Registry[Callable[..., Any]] = Registry(
    "panel",
    __name__,
    group="emoscope.plots",
    fits=callable,
    wanted="a function of a signal and an ax",
)
names, register = registry.names, registry.register
