"""The colours of the figures as CSS variables, light and dark, as furo switches them."""

from emoscope.report.plots.style import DARK, EMOTION_COLOURS, LIGHT

NAMES = ("background", "foreground", "soft", "line", "accent", "warn")


def css() -> str:
    """The variables that figures of ``plots.to_svg`` and ``site.css`` read."""
    light, dark = (
        " ".join(
            [f"--{name}: {getattr(theme, name)};" for name in NAMES]
            + [f"--{emotion}: {pair[number]};" for emotion, pair in EMOTION_COLOURS.items()]
        )
        for number, theme in enumerate((LIGHT, DARK))
    )
    return (
        f"body {{ {light} }}\n"
        f'body[data-theme="dark"] {{ {dark} }}\n'
        "@media (prefers-color-scheme: dark) {\n"
        f'  body:not([data-theme="light"]) {{ {dark} }}\n}}\n'
    )
