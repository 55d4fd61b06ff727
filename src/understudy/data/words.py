"""Names of folders and labels -> good or bad: the usual words of several languages, and those of the user.

Upper and lower case, accents, ``-``, ``_``, dots and spaces do not count: ``N.OK``, ``n_ok`` and ``NOK`` are
one word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from understudy.errors import InputError

__all__ = ["Meaning", "Words", "plain_word", "words_of"]

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
    "good goods ok okay okey normal normals pass passed accept accepted conforming fine golden defect-free "
    "no-defect no-defects not-defective without-defect gut gutteil gutteile io in-ordnung fehlerfrei "
    "bon bonne bons conforme conformes buono buona buoni bueno buena buenos correcto bom boa goed dobry "
    "dobre "
    "годный годные норма 良品 合格 合格品 正常 양품 정상 합격"
)
_BAD = _set(
    "bad bads nok not-ok nicht-ok no-ok not-okay ng no-good not-good ko reject rejects rejected fail fails "
    "failed failure failures faulty fault faults defect defects defective defectives anomaly anomalies "
    "anomalous abnormal abnormals nonconforming non-conforming scrap nio nicht-in-ordnung schlecht "
    "schlechtteil schlechtteile defekt defekte defekter fehler fehlerhaft ausschuss mauvais mauvaise defaut "
    "defauts defectueux rebut rebuts non-conforme non-conformes no-conforme difettoso difettosi difetto "
    "difetti scarto scarti malo mala malos defecto defectos defectuoso rechazo rechazado defeito defeitos "
    "slecht afkeur wadliwy vadny брак дефект дефекты 不良 不良品 不合格 不合格品 缺陷 異常 异常 불량 불량품 "
    "scratch scratches scratched dent dents dented crack cracks cracked broken damage damaged contamination "
    "contaminated kratzer delle riss risse rayure graffio"
)
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
