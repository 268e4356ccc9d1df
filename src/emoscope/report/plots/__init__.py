"""Every figure that emoscope draws; the only place that knows matplotlib.

A function takes what it shows and an ``ax`` to draw into (by default pyplot's current one), returns
the ``ax`` and never saves. Functions of a :class:`~emoscope.audio.Signal` are panels of
:func:`show`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...registry import Registry
from .results import *  # noqa: F403
from .sound import *  # noqa: F403
from .sound import SHOWN as SHOWN
from .style import display as display
from .style import emotion_colour as emotion_colour
from .style import emotion_css as emotion_css
from .style import style as style
from .style import to_svg as to_svg

registry: Registry[Callable[..., Any]] = Registry(
    "panel",
    __name__,
    group="emoscope.plots",
    fits=callable,
    wanted="a function of a signal and an ax",
)
names, register = registry.names, registry.register
