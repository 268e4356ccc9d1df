"""Every picture that emoscope draws; the only place that knows matplotlib.

A function takes what it shows and an ``ax`` to draw into, returns the ``ax`` and never saves.
Without an ``ax`` it draws into pyplot's current one. ``with style(dark=True):`` sets colours and
fonts. Pictures of clips are in :mod:`.sound`, pictures of results in :mod:`.results`; a function
that their ``__all__`` names is public here.
"""

from .axes import display as display
from .results import *  # noqa: F403
from .sound import *  # noqa: F403
from .style import emotion_colour as emotion_colour
from .style import emotion_css as emotion_css
from .style import style as style
from .style import to_svg as to_svg
