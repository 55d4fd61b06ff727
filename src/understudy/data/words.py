"""Names of folders and labels -> good or bad: the usual words of several languages, and those of the user.

Upper and lower case, accents, ``-``, ``_``, dots and spaces do not count: ``N.OK``, ``n_ok`` and ``NOK`` are
one word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from understudy.errors import InputError

__all__ = ["FLAGS", "Meaning", "Words", "is_date", "is_place", "plain_word", "words_of"]

Meaning = Literal["good", "bad"]

_IGNORED = str.maketrans("", "", "-_. ·・\t\u00a0\u3000")


@lru_cache(maxsize=4096)
def plain_word(name: str) -> str:
    """Return a name as it is compared: without case, accents, dots, hyphens, underscores and spaces."""
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    return "".join(c for c in letters if unicodedata.category(c) != "Mn").translate(_IGNORED)


def _set(words: str) -> frozenset[str]:
    return frozenset(map(plain_word, words.split()))


_GOOD = _set(
    "good goods ok okay okey normal normals pass passed accept accepted conforming fine golden "
    "defect-free no-defect no-defects anomaly-free fault-free not-defective without-defect gut gutteil "
    "gutteile io in-ordnung fehlerfrei bon bonne bons conforme conformes buono buona buoni bueno buena "
    "buenos correcto bom boa goed dobry dobre годный годные норма 良品 合格 合格品 正常 양품 정상 합격"
)
_BAD_ALL_OVER = _set(
    "bad bads nok not-ok nicht-ok no-ok not-okay ng no-good not-good ko reject rejects rejected fail fails "
    "failed failure failures faulty fault faults defect defects defective defectives anomaly anomalies "
    "anomalous abnormal abnormals nonconforming non-conforming scrap nio nicht-in-ordnung schlecht "
    "schlechtteil schlechtteile defekt defekte defekter fehler fehlerhaft ausschuss mauvais mauvaise defaut "
    "defauts defectueux rebut rebuts non-conforme non-conformes no-conforme difettoso difettosi difetto "
    "difetti scarto scarti malo mala malos defecto defectos defectuoso rechazo rechazado defeito defeitos "
    "slecht afkeur wadliwy vadny брак дефект дефекты 不良 不良品 不合格 不合格品 缺陷 欠陥 異常 异常 불량 "
    "불량품 불합격 비정상"
)
_DEFECTS = _set(
    "scratch scratches scratched dent dents dented crack cracks cracked broken damage damaged contamination "
    "contaminated kratzer delle riss risse rayure graffio"
)
_BAD = _BAD_ALL_OVER | _DEFECTS
_EASTERN_GOOD, _EASTERN_BAD = (
    frozenset(word for word in words if word > "\u1100") for words in (_GOOD, _BAD)
)
_PLACES = _set(
    "cam cams camera cameras kamera kameras view views ansicht station line linie lot batch charge shift "
    "schicht day tag week woche kw run series serie set part image images img imgs picture pictures pic "
    "pics bild bilder photo photos foto fotos data raw left right top bottom front back side links rechts "
    "oben unten vorne hinten"
)
FLAGS = frozenset({"0", "1", "true", "false", "yes", "no", "positive", "negative", "positives", "negatives"})
"""Names that mean good and bad, and do not say which of them."""

_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH = r"(?:0?[1-9]|1[0-2])"
_DATE = re.compile(
    rf"(?:(?:19|20)\d\d[-_. ]{_MONTH}(?:[-_. ]{_DAY})?"
    r"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    rf"|{_DAY}[-_. ]{_MONTH}[-_. ](?:19|20)\d\d)(?:[-_. T][\d\-_.:h]+)?"
)
_TOKEN = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_LONGEST = 3  # tokens of one word, as in n.i.O.
_LISTED_GOOD = frozenset({"0", "00", "false"})  # what tables write for "no defect"; 00 is pandas' 0.0


@dataclass(frozen=True)
class Words:
    """What counts as good and as bad.

    Attributes:
        good: plain words that count as good besides the usual ones.
        bad: the same for bad.
    """

    good: frozenset[str] = frozenset()
    bad: frozenset[str] = frozenset()

    def meaning(self, name: str) -> Meaning | None:
        """Return what the name of a folder says of its pictures; ``None`` if it says nothing."""
        word = plain_word(name)
        if word in self.good or word in self.bad:
            return "good" if word in self.good else "bad"
        return "good" if word in _GOOD else "bad" if word in _BAD else None

    def hints(self, name: str) -> frozenset[Meaning]:
        """Return what parts of a name say, as ``{"bad"}`` of ``2_NOK`` and ``NG品``.

        Parts are split at all that is no letter, at humps as in ``goodParts``, and between scripts.
        """
        return frozenset(
            meaning for word in _words_in(name, self._known) if (meaning := self._known(word)) is not None
        )

    def is_general(self, name: str) -> bool:
        """Tell whether a name says bad, and not what is bad, as ``NOK`` and unlike ``scratch``."""
        return self.meaning(name) == "bad" and any(
            word in _BAD_ALL_OVER for word in _words_in(name, self._known)
        )

    def _known(self, word: str) -> Meaning | None:
        """Return what a plain word says; Chinese, Japanese and Korean words also say what is in them."""
        if meaning := self.meaning(word):
            return meaning
        if any(bad in word for bad in _EASTERN_BAD):
            return "bad"
        return "good" if any(good in word for good in _EASTERN_GOOD) else None

    def is_good_label(self, label: str) -> bool:
        """Tell whether a label in a list says that a picture shows no defect."""
        word = plain_word(label)
        return self.meaning(label) == "good" or (word in _LISTED_GOOD and word not in self.bad)

    def refuse_unused(self, names: Iterable[str], source: object) -> None:
        """Check that every word of the user is the name of a folder or a label.

        Args:
            names: names of all folders, or all labels.
            source: folder or list, for the error.

        Raises:
            InputError: a word is not among the names.
        """
        known = set(map(plain_word, names))
        for option, own in (("good", self.good), ("bad", self.bad)):
            for word in sorted(own - known):
                raise InputError(
                    f"--{option} names {word!r}, and {source} has no folder and no label of that name; "
                    "mend the name or leave it out"
                )


def is_date(name: str) -> bool:
    """Tell whether a name is a day or a month, with a time or without, as ``2026-01-05`` or ``5.1.2026``."""
    return bool(_DATE.fullmatch(name.strip()))


def is_place(name: str) -> bool:
    """Tell whether a name says when or where pictures were taken: a date, a number, ``cam 2``, ``images``."""
    tokens = _tokens(name)
    return all(token in _PLACES for token in tokens) if tokens else any(map(str.isdigit, name))


def _tokens(name: str) -> list[str]:
    return [plain_word(token) for token in _TOKEN.findall(_HUMP.sub(" ", unicodedata.normalize("NFC", name)))]


def _words_in(name: str, known: Callable[[str], Meaning | None]) -> list[str]:
    """Return the words in a name that say something, the longest ones first."""
    tokens, words = _tokens(name), []
    while tokens:
        for count in range(min(_LONGEST, len(tokens)), 0, -1):
            if known(word := "".join(tokens[:count])):
                words.append(word)
                break
        else:
            count = 1
        del tokens[:count]
    return words


def words_of(good: Iterable[str] = (), bad: Iterable[str] = ()) -> Words:
    """Return what counts as good and as bad.

    Args:
        good: names of folders, or labels, that count as good besides the usual words.
        bad: the same for bad.

    Raises:
        InputError: a name is empty, or counts as both.
    """
    for option, names in (("good", good), ("bad", bad)):
        if isinstance(names, str):
            raise InputError(f"{option} takes several names, as ({names!r},), got one text")
    words = Words(*(frozenset(map(plain_word, names)) for names in (good, bad)))
    if "" in words.good | words.bad:
        raise InputError("a word for good or bad has no letters; give names, or leave it out")
    if both := sorted(words.good & words.bad):
        raise InputError(f"{both[0]!r} cannot count as good and as bad; name it once")
    return words
