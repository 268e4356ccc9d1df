"""The common emotion names, and which other words mean the same.

Corpora map their own codes to these names in their own files; manifests and folders of a user's own
are read through :data:`SYNONYMS`.
"""

from __future__ import annotations

import functools
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping

EMOTIONS = (
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
    "bored",
)
"""Every emotion emoscope knows, in the order of every table and picture."""

#: What emoscope's own timelines call parts that hold no emotion.
WITHOUT_SPEECH = ("silence", "non-speech")

_MOST_WORDS = 20  # that a message names

# Accents may be left out. What means different emotions in two languages is not here, such as
# "enojado" (Spanish: angry, Portuguese: disgusted) and "desgosto"; nor is what are mostly people's names.
_WORDS = """
English:    neutral neutrality neu
            calm    calmness relaxed
            happy   happiness joy joyful hap
            sad     sadness
            angry   anger ang
            fearful fear fea afraid scared anxiety anxious
            disgust disgusted dis
            surprised surprise sur ps pleasant-surprise pleasant-surprised
            bored   boredom bor
German:     neutral neutralität
            calm    ruhig gelassen
            happy   freude freudig fröhlich froehlich glück glueck glücklich gluecklich froh
            sad     trauer traurig traurigkeit
            angry   ärger aerger ärgerlich aergerlich verärgert veraergert wut wütend wuetend zorn zornig
            fearful angst ängstlich aengstlich furcht
            disgust ekel angeekelt
            surprised überraschung ueberraschung überrascht ueberrascht
            bored   langeweile gelangweilt
French:     neutral neutre neutralité
            calm    calme
            happy   joie joyeux joyeuse heureux heureuse bonheur
            sad     tristesse triste
            angry   colère en-colère fâché fâchée
            fearful peur effrayé effrayée apeuré apeurée
            disgust dégoût dégoûté dégoûtée
            surprised surpris surprise
            bored   ennui
Italian:    neutral neutro neutra neutrale neutralità
            calm    calmo calma
            happy   gioia gioioso gioiosa felice felicità
            sad     tristezza triste
            angry   rabbia arrabbiato arrabbiata
            fearful paura spaventato spaventata impaurito impaurita
            disgust disgusto disgustato disgustata
            surprised sorpresa sorpreso
            bored   noia annoiato annoiata
Spanish:    neutral neutro neutra neutralidad
            calm    calma calmado calmada tranquilo tranquila
            happy   felicidad feliz alegría alegre
            sad     tristeza triste
            angry   ira enfado enfadado enfadada enojo rabia furioso furiosa
            fearful miedo asustado asustada
            disgust asco asqueado asqueada
            surprised sorpresa sorprendido sorprendida
            bored   aburrimiento aburrido aburrida
Portuguese: neutral neutro neutra neutralidade
            calm    calmo calma
            happy   felicidade feliz alegria alegre
            sad     tristeza triste
            angry   raiva ira zangado zangada
            fearful medo assustado assustada
            disgust nojo
            surprised surpresa surpreso surpreendido surpreendida
            bored   tédio entediado entediada
Polish:     neutral neutralny neutralna neutralne neutralność
            calm    spokój spokojny spokojna spokojne
            happy   radość radosny radosna radosne szczęście szczęśliwy szczęśliwa
            sad     smutek smutny smutna smutne
            angry   złość gniew rozgniewany rozgniewana
            fearful strach lęk przestraszony przestraszona
            disgust wstręt obrzydzenie
            surprised zaskoczenie zaskoczony zaskoczona zdziwienie zdziwiony zdziwiona
            bored   nuda znudzony znudzona
Turkish:    neutral nötr
            calm    sakin
            happy   mutlu mutluluk neşe neşeli sevinç
            sad     üzgün üzüntü hüzün
            angry   kızgın kızgınlık öfke öfkeli sinirli
            fearful korku korkmuş
            disgust iğrenme tiksinti tiksinme
            surprised şaşkın şaşkınlık şaşırmış sürpriz
            bored   sıkılmış can-sıkıntısı
Arabic:     neutral muhayid mohayed محايد
            calm    hudu هدوء هادئ
            happy   سعادة سعيد فرح
            sad     huzn hozn hazin حزن حزين
            angry   ghadab ghadib غضب غاضب
            fearful khawf khauf khaif خوف خائف
            disgust ishmizaz qaraf اشمئزاز
            surprised mufajaa mufaja'a dahsha مفاجأة دهشة متفاجئ
            bored   malal ملل
Chinese:    neutral zhongxing zhongli 中性 中立
            calm    pingjing 平静 平靜
            happy   gaoxing kuaile 高兴 高興 快乐 快樂 开心 開心
            sad     beishang shangxin nanguo bei'ai 悲伤 悲傷 伤心 傷心 难过 難過
            angry   shengqi fennu 生气 生氣 愤怒 憤怒
            fearful haipa kongju 害怕 恐惧 恐懼
            disgust yanwu 厌恶 厭惡
            surprised chijing 吃惊 吃驚 惊讶 驚訝
            bored   wuliao 无聊 無聊
"""


@functools.lru_cache(maxsize=4096)
def folded(label: str) -> str:
    """A label in lower case, without accents, its words separated by one space."""
    letters = unicodedata.normalize("NFKD", label.casefold().translate(_LETTERS))
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[_\-\u2010-\u2015]", " ", bare).split())


_LETTERS = str.maketrans({"ł": "l", "ı": "i", "ø": "o", "’": "'"})  # that are no accented ones

SYNONYMS: Mapping[str, str] = {
    folded(word): emotion
    for line in _WORDS.strip().splitlines()
    for emotion, *words in [line.partition(":")[2].split() or line.split()]
    for word in words
    if folded(word) not in EMOTIONS
}
"""Other words for the same emotions in ten languages, as :func:`canonical` folds them."""


def canonical(label: str, labels: Mapping[str, str] | None = None) -> str | None:
    """Return the common name of a label, or None when it means no emotion that emoscope knows.

    Parameters
    ----------
    label : str
        Any spelling: case, accents, Unicode form, hyphens, underscores and space do not matter.
    labels : mapping of str to str, optional
        The caller's own words, which come first: as written, then in any spelling.
    """
    if labels and label in labels:
        return labels[label]
    word = folded(label)
    for own, emotion in (labels or {}).items():
        if folded(own) == word:
            return emotion
    return word if word in EMOTIONS else SYNONYMS.get(word)


def explain(unknown: Mapping[str, int]) -> str:
    """Words that mean no emotion, with how often each is found, and the option that helps."""
    ranked = sorted(unknown.items(), key=lambda item: -item[1])
    words = [f"'{word[:40]}' ({count})" for word, count in ranked[:_MOST_WORDS]]
    more = f" and {len(ranked) - len(words)} more words" if len(ranked) > len(words) else ""
    return (
        f"no emotions that emoscope knows: {', '.join(words)}{more}. Say what such a word means, "
        f"for example --label {shlex.quote(f'{ranked[0][0]}=happy')}, or several in a file: "
        f"--labels FILE.toml. emoscope knows {', '.join(EMOTIONS)}, and words for them in other "
        "languages"
    )


def in_order(emotions: Iterable[str]) -> list[str]:
    """Return the distinct emotions given, in the order of :data:`EMOTIONS`."""
    present = set(emotions)
    return [emotion for emotion in EMOTIONS if emotion in present]
