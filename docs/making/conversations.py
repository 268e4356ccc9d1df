"""What the pages on conversations include: figures of ``results/``, as in :mod:`making.measured`."""

from collections.abc import Callable

import pandas as pd

from .measured import absent, read


def pages() -> dict[str, Callable[[], str]]:
    """One maker per page."""
    return {"measured/diarisation.md": diarisation, "measured/corrections.md": corrections}


def corrections() -> str:
    """What corrections are worth; included in the page on conversations."""
    result, command = read("corrections.json"), "python benchmarks/corrections.py"
    if result is None:
        return absent("What corrections are worth", command)
    counts = list(next(iter(result.values())))
    lines = [
        "The model `free`, which never heard nEMO, corrected by ten simulated users; UAR on the "
        f"speakers that were not corrected, mean and standard deviation over users (`{command}`).\n",
        f"| which clips are corrected | {' | '.join(counts)} |",
        f"|---|{'--:|' * len(counts)}",
    ]
    for how, scores in result.items():
        cells = [f"{s['mean']:.3f} ± {s['sd']:.3f}" for s in scores.values()]
        lines.append(f"| {how} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def diarisation() -> str:
    """The tables on the page on conversations; included there, no page itself."""
    result, command = read("diarisation/diarisation.json"), "python benchmarks/diarisation.py DATA"
    if result is None:
        return absent("The error rates", command)
    table = pd.DataFrame(result["summary"])
    minutes = table["minutes"]
    parts = [
        f"{table['recordings'].sum()} recordings of 5 to 30 minutes were joined from clips of EMO-DB and "
        "nEMO, with pauses and interruptions; their speakers played no part in the choice of the method's "
        "constants. Diarisation error rate in percent: time that is missed, taken for speech where nobody "
        "speaks, or given to the wrong speaker, over the time of speech, with a collar of 0.25 s "
        f"(`{command}`).\n\n"
        "| recording | speakers | corpus | number estimated | number given | all taken for one speaker | "
        "number right |\n|---|--:|---|--:|--:|--:|--:|"
    ]
    for (condition, voices, name), own in table.groupby(
        ["condition", "voices", "corpus"], sort=False
    ):
        weights = minutes[own.index]
        scores = [
            (own[f"{name}_der"] * weights).sum() / weights.sum()
            for name in ("estimated", "given", "constant")
        ]
        values = " | ".join(f"{100 * score:.1f}" for score in scores)
        share = (own["number_right"] * own["recordings"]).sum() / own["recordings"].sum()
        parts.append(f"| {condition} | {voices} | {name} | {values} | {share:.0%} |")
    factor = table["real_time_factor"].max()
    parts.append(f"\nOn one core this takes at most {factor:.3f} s for each second of sound.\n")
    for name, told in result["lanes"].items():
        parts.append(
            f"- Two channels, {name}: {told['right']} of {told['segments']} segments were in the lane of "
            f"their speaker. Both spoke for {told['overlap_s']:.0f} s; {told['overlap_found_s']:.0f} s were "
            "labelled in both lanes."
        )
    parts.append(
        "\nThe emotion diarisation error (Wang et al., 2023) counts the time whose emotion is wrong. On "
        "recordings of nEMO, with the model `free`, which was not trained on nEMO, it is in percent:\n\n"
        "| speakers | always neutral | not divided | number estimated | number given |\n|--:|--:|--:|--:|--:|"
    )
    for voices, scores in result["emotions"].items():
        parts.append(
            f"| {voices} | " + " | ".join(f"{100 * v:.0f}" for v in scores.values()) + " |"
        )
    return "\n".join(parts) + "\n"
