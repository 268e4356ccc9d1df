"""The report: it says what the predictions say, and in real headless Chromium, offline, nothing is
asked for, nothing fails, clips play."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chromium import DESKTOP, PHONE, launched
from emoscope import corpora, dataset
from emoscope._version import __version__
from emoscope.evaluation import comparison, metrics
from emoscope.evaluation.result import Result, summarise
from emoscope.labels import EMOTIONS as COMMON
from emoscope.report import page as page_module
from emoscope.report import summary

LARGEST = 10_000_000  # bytes


@pytest.fixture(scope="module")
def page(ravdess, tmp_path_factory):
    """A comparison on the bundled features, its hardest clips playable from the corpus."""
    data = dataset.load(None, ["mfcc", "contrast"], emotions=["calm", "happy", "angry"])
    result = comparison.compare(
        data.corpus, data.features, models=["dummy", "svm", "tree"], ablation=["tree"], jobs=1,
    )  # fmt: skip
    found = {path.stem: str(path) for path in ravdess.glob("Actor_*/*.flac")}
    clips = {clip: found[clip.rpartition("/")[2]] for clip in data.corpus.table["clip"]}
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page_module.render(result, clips=clips), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_asked_for_and_clips_play(browser, page, tmp_path, viewport, scheme):
    assert page.stat().st_size < LARGEST
    asked, faults = [], []
    with browser.new_context(viewport=viewport, color_scheme=scheme, offline=True) as context:
        opened = context.new_page()
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("requestfailed", lambda request: faults.append(request.url))
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        opened.goto(page.as_uri())
        clips = opened.locator("audio[controls]")
        assert 0 < clips.count() <= 20
        heard = clips.first.evaluate(
            """async clip => {
              clip.muted = true;
              await clip.play();
              await new Promise(wait => clip.ontimeupdate = wait);
              return [clip.currentTime, clip.duration];
            }"""
        )
        assert heard[0] > 0 and 2 < heard[1] < 6
        wide = opened.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{wide} pixels wider than the window"
        background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
        red = int(background.partition("(")[2].partition(",")[0])
        assert red < 60 if scheme == "dark" else red > 200
        font = opened.evaluate("getComputedStyle(document.body).fontFamily")
        assert font.endswith("sans-serif"), "the style sheet did not arrive as it was written"
        picture = tmp_path / f"{scheme}.png"
        opened.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 50_000
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert faults == []


EMOTIONS = ["angry", "happy", "sad"]
EIGHT = COMMON[:8]


def predictions(model, right, *, features="a+b", protocol="loso", seed=0):
    """Of 240 clips by eight speakers, a share of which is right; every third clip of a woman."""
    rng = np.random.default_rng(seed)
    emotion = np.tile(EMOTIONS, 80)
    predicted = np.where(rng.random(240) < right, emotion, np.roll(emotion, 1))
    rows = pd.DataFrame(
        {
            "model": model, "features": features, "protocol": protocol,
            "fold": [str(n // 30) for n in range(240)], "clip": [f"c{n:03d}" for n in range(240)],
            "speaker": [f"s{n // 30}" for n in range(240)], "emotion": emotion,
            "predicted": predicted,
        }
    )  # fmt: skip
    for name in EMOTIONS:
        rows[f"p_{name}"] = np.where(predicted == name, 0.8, 0.1)
    return rows.assign(gender=np.where(np.arange(240) % 3 == 0, "female", "male"))


@pytest.fixture(scope="module")
def result():
    """Three models, one of which was also run on each feature alone, and on random folds."""
    tables = [
        predictions("svm", 0.8, seed=1), predictions("tree", 0.5, seed=2),
        predictions("dummy", 0.0, seed=3), predictions("svm", 0.6, features="a", seed=4),
        predictions("svm", 0.7, features="b", seed=5),
        predictions("svm", 0.95, protocol="random-75/25", seed=6),
    ]  # fmt: skip
    runs = [summarise(table, fit_seconds=1.0, predict_seconds=0.1) for table in tables]
    runs = comparison.with_gaps(runs, tables)
    corpus = {"name": "toy", "n_clips": 240, "n_speakers": 8, "licence": "none", "citation": "none"}
    corpus |= {"clips_per_emotion": dict.fromkeys(EMOTIONS, 80), "rejected": []}
    return Result(pd.concat(tables, ignore_index=True), runs, corpus, {"seed": 0})


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_leaderboard_has_scores_letters_and_what_random_folds_claim(result):
    html = page_module.render(result)
    best, second, last = result.leaderboard()
    assert [best.model, second.model, last.model] == ["svm", "tree", "dummy"]
    row = text_of(
        re.search(r'<tr><th scope="row" data-value="svm">.*?</tr>', html, re.DOTALL)[0]
    ).split()
    random_uar = metrics.uar(
        *(result.rows("svm", "random-75/25")[c] for c in ("emotion", "predicted"))
    )
    assert " ".join(row[:6]) == f"svm linear support vector machine {best.uar:.3f}"
    assert row[6:8] == [f"{best.uar_low:.3f}–{best.uar_high:.3f}", "a"]
    assert f"{random_uar:.3f}" in row and f"{random_uar - best.uar:+.3f}" in row
    assert html.index('data-value="svm"') < html.index('data-value="tree"')


def test_slices_and_confusions_are_those_of_the_best_model(result):
    html = page_module.render(result)
    rows = result.rows("svm")
    for gender, part in rows.groupby("gender"):
        uar = metrics.uar(part["emotion"], part["predicted"])
        assert f'<td>{gender}</td><td>{len(part)}</td><td class="best">{uar:.3f}</td>' in html
    counts = metrics.confusion(rows["emotion"], rows["predicted"], emotions=EMOTIONS)
    wrong = counts.loc["happy", "angry"]
    assert f'title="{wrong} of 80 happy clips predicted angry">{100 * wrong / 80:.0f}</td>' in html


def test_ablation_names_what_is_absent(result):
    table = page_module._ablation(result)
    assert table.index.tolist() == ["all", "a", "b"] and table.columns.tolist() == ["svm"]
    assert table["svm"].tolist() == [run.uar for run in result.ablations()]
    assert "What each feature adds" in page_module.render(result)


def test_the_hardest_clips_are_those_that_most_models_get_wrong(result):
    hardest = page_module.hardest_clips(result, {})
    wrong = {
        model: set(rows.loc[rows["emotion"] != rows["predicted"], "clip"])
        for model in ("svm", "tree")
        for rows in [result.rows(model)]
    }
    assert {clip.clip for clip in hardest} <= wrong["svm"] & wrong["tree"]
    assert all((clip.n_wrong, clip.n_models, clip.audio) == (2, 2, None) for clip in hardest)
    assert f"every model fails on {len(hardest)}" in summary.hardest_words(hardest)


def test_every_figure_has_its_caption(result):
    result = Result(result.predictions, result.runs, result.corpus, result.config)
    html = page_module.render(result)
    assert "Calibration of svm" in html
    assert html.count("<svg") == 3


def test_groups_by_voice_are_not_called_speakers(result):
    rows = result.predictions.assign(speaker="voice " + result.predictions["speaker"])
    corpus = {**result.corpus, "n_speakers": 0, "voices": "Clips were put into 8 groups."}
    heard = Result(rows, result.runs, corpus, result.config)
    html = page_module.render(heard)
    assert "<h3>By group by voice</h3>" in html and "<h3>By speaker</h3>" not in html
    assert "interval over groups by voice" in html and "over speakers" not in html
    (by_voice,) = [s.text for s in summary.sentences(heard) if "ranges from" in s.text]
    assert by_voice.startswith("Across groups by voice") and "speaker" not in by_voice


def test_the_sentences_follow_from_the_numbers(result):
    best = result.leaderboard()[0]
    said = summary.sentences(result)
    assert said[0].text.startswith(f"svm is best: UAR {best.uar:.3f}")
    assert f"{best.uar * 3:.1f} times chance" in said[0].text
    (leak,) = [sentence for sentence in said if "Random folds would" in sentence.text]
    assert leak.warn and f"{best.leak_gap:.3f} more UAR" in leak.text


def test_what_a_label_means_and_the_licence_stand_below(result):
    corpus = {**result.corpus, "licence": "CC BY-NC-SA 4.0"}
    told = text_of(page_module.render(dataclasses.replace(result, corpus=corpus)))
    assert "not what anybody feels. The model can name" in told
    assert "Corpus licence: CC BY-NC-SA 4.0. Commercial use: no." in told


SENTENCE = (
    "On toy_1 (240 clips of 8 speakers, 3 emotions), under the protocol loso (each speaker is tested by "
    "models trained on the others), svm is best: UAR 0.804 (95 % interval {low:.3f} to {high:.3f}), 2.4 "
    "times chance, on unseen speakers; it differs significantly from each other model (paired "
    "permutation test over speakers). All scores were computed with emoscope {version}."
)

CAPTION = (
    r"Speech emotion recognition on toy\_1 (240 clips of 8 speakers, 3 emotions). Protocol "
    r"\texttt{loso}: each speaker is tested by models trained on the others. UAR: unweighted average "
    r"recall; chance is 0.333. Intervals are over speakers. Leak gap: UAR on \texttt{random-75/25}, "
    r"where speakers are in training and test, minus UAR here."
)
TABLE = (
    r"""% needs \usepackage{booktabs}
\begin{table}
  \centering
  \caption{CAPTION}
  \label{tab:emoscope}
  \begin{tabular}{lccccc}
    \toprule
    Model & UAR & 95\,\% interval & Accuracy & Macro F1 & Leak gap \\
    \midrule
"""
).replace("CAPTION", CAPTION)


def test_what_a_paper_copies_has_the_scores_of_the_result(result):
    corpus = {**result.corpus, "name": "toy_1", "citation": corpora.get("emodb").citation}
    shown = page_module._paper(Result(result.predictions, result.runs, corpus, result.config))
    svm, *others = result.leaderboard()
    assert shown["sentence"] == SENTENCE.format(
        low=svm.uar_low, high=svm.uar_high, version=__version__
    )
    rows = [
        f"    svm & {svm.uar:.3f} & {svm.uar_low:.3f}--{svm.uar_high:.3f} & {svm.accuracy:.3f} & "
        f"{svm.macro_f1:.3f} & ${svm.leak_gap:+.3f}$ \\\\\n"
    ]
    rows += [
        f"    {run.model} & {run.uar:.3f} & {run.uar_low:.3f}--{run.uar_high:.3f} & {run.accuracy:.3f} & "
        f"{run.macro_f1:.3f} & -- \\\\\n"
        for run in others
    ]
    end = "    \\bottomrule\n  \\end{tabular}\n\\end{table}"
    assert shown["table"] == TABLE + "".join(rows) + end
    assert "@misc{corpus1,\n  note = {Burkhardt F, Paeschke A, Rolfes M, " in shown["bib"]


def test_the_entry_of_emoscope_is_that_of_its_citation_file(result):
    bib = page_module._paper(result)["bib"]
    citation = (Path(__file__).parents[1] / "CITATION.cff").read_text("utf-8")
    fields = dict(re.findall(r'^([a-z-]+): "?([^"\n]+)"?$', citation, re.MULTILINE))
    assert f"title = {{{fields['title']}}}" in bib and f"version = {{{fields['version']}}}" in bib
    assert f"note = {{{fields['license']} licence}}" in bib
    assert re.search(r"- name: (.+)", citation)[1] in bib


def test_latex_reads_no_character_as_a_command():
    assert page_module.tex(r"a_b\c{d}~^") == (
        r"a\_b\textbackslash{}c\{d\}\textasciitilde{}\textasciicircum{}"
    )


def test_a_gap_below_zero_raises_no_alarm_and_human_accuracy_is_no_uar(result):
    runs = [dataclasses.replace(run, leak_gap=run.leak_gap and -0.02) for run in result.runs]
    html = page_module.render(Result(result.predictions, runs, result.corpus, result.config))
    assert "<td>-0.020</td>" in html and 'class="gap"' not in html
    rows = result.predictions.assign(emotion=np.tile(EIGHT, 180), predicted=np.tile(EIGHT, 180))
    for name in EIGHT:
        rows[f"p_{name}"] = np.where(rows["predicted"] == name, 0.3, 0.1)
    spoken = Result(rows, result.runs, {**result.corpus, "name": "ravdess"}, result.config)
    html = page_module.render(spoken)
    assert "human listeners" in html and "left:67" not in html and "left:12.50%" in html


@pytest.fixture
def opened(browser, page):
    with browser.new_context(viewport=DESKTOP, offline=True, accept_downloads=True) as context:
        opened = context.new_page()
        opened.goto(page.as_uri())
        yield opened


def test_the_leaderboard_is_sorted_and_filtered_by_keyboard(opened):
    names = lambda: opened.locator("#board tbody tr:visible th").evaluate_all(  # noqa: E731
        "cells => cells.map(cell => cell.dataset.value)"
    )
    assert names()[0] == "svm" and names()[-1] == "dummy"
    opened.get_by_role("button", name="UAR", exact=True).focus()
    opened.keyboard.press("Enter")
    assert names()[0] == "svm"  # numbers begin with the highest
    opened.keyboard.press("Enter")
    assert names()[0] == "dummy"
    assert opened.locator("#board th[aria-sort=ascending]").inner_text() == "UAR"
    opened.get_by_label("Filter").first.fill("decision")
    assert names() == ["tree"]


def test_a_cell_of_the_confusion_matrix_plays_its_clips(opened):
    cell = opened.locator("td[data-clips] button").first
    title = cell.get_attribute("title")
    cell.focus()
    opened.keyboard.press("Enter")
    says = opened.locator(".playing").first.inner_text()
    (clip,) = re.findall(r"Playing 1 of \d+: (\S+)", says)
    code = {"calm": "02", "happy": "03", "angry": "05"}[title.split()[3]]
    assert clip.split("-")[2] == code  # the third number of a RAVDESS name is its emotion
    opened.wait_for_timeout(500)
    played = "[...document.querySelectorAll('audio')].some(clip => clip.currentTime > 0)"
    assert opened.evaluate(played)


def test_clip_names_are_spelled_out(page):
    html = page.read_text("utf-8")
    for clip, about in re.findall(r"<code>([\d-]+)</code><small>(.*?)</small>", html):
        _, _, _, intensity, statement, _, actor = clip.split("-")
        said = {"01": "Kids", "02": "Dogs"}[statement] + " are "
        gender = "male" if int(actor) % 2 else "female"
        strength = {"01": "normal", "02": "strong"}[intensity]
        assert about.startswith(f"{strength} intensity, “{said}")
        assert about.endswith(f"speaker {actor}, {gender}")
    assert "intensity, “" in html


def test_without_scripts_the_leaderboard_is_a_table(browser, page):
    with browser.new_context(java_script_enabled=False) as context:
        opened = context.new_page()
        opened.goto(page.as_uri())
        assert opened.locator("#board tbody tr").count() == 3
        assert opened.locator("button").count() == 0


def test_plots_are_saved_as_svg_with_colours_of_their_own(opened, tmp_path):
    with opened.expect_download() as saved:
        opened.get_by_role("link", name="Save as SVG: Leaderboard").click()
    saved.value.save_as(tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text("utf-8")
    assert ET.fromstring(text).tag.endswith("svg") and "var(" not in text
    assert saved.value.suggested_filename == "Leaderboard.svg"


def test_a_script_that_is_not_the_reports_does_not_run(opened):
    opened.evaluate("document.body.append(Object.assign(document.createElement('script'), "
                    "{textContent: 'window.foreign = 1'}))")  # fmt: skip
    assert opened.evaluate("window.foreign") is None


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_has_no_accessibility_faults(browser, page, viewport, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with browser.new_context(viewport=viewport, color_scheme=scheme, bypass_csp=True) as context:
        opened = context.new_page()
        opened.goto(page.as_uri())
        opened.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        found = axe.run(opened)
        assert found.violations_count == 0, found.generate_report()
