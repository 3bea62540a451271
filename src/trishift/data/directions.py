"""Classes that are mirror images or reversals of each other, found by words in their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice, product

from trishift.errors import DataError

_MIRRORED = {"left": ("right",), "right": ("left",), "clockwise": ("counterclockwise",)}
_MIRRORED["counterclockwise"] = ("clockwise",)

# Verbs whose action looks like the other one when played backward.
_VERBS = """
push pull, open close, open shut, raise lower, lift lower, lift drop, lift put, enter leave, enter exit,
approach leave, put take, put remove, place remove, insert remove, add remove, attach detach, connect disconnect,
fold unfold, lock unlock, wrap unwrap, zip unzip, tie untie, plug unplug, cover uncover, load unload, pack unpack,
sit stand, throw catch, drop pick, put pick, give receive, start stop, inflate deflate, appear disappear,
grow shrink
"""
# Verbs whose action looks like no other when played backward.
_IRREVERSIBLE = "break tear pour spill fall crash cut explode melt burn"
_WAYS = """
left right, up down, upward downward, upwards downwards, forward backward, forwards backwards,
clockwise counterclockwise
"""
# Not every `in` or `on` is a direction, so these make none by themselves, and most may stay in the opposite name.
_PREPOSITIONS = """
in out, in away, into from, onto from, onto off, on off, away closer, away toward, away towards, forward back,
inside outside
"""
_FIRM = {"into", "onto"}  # these must change: pushing onto a table is not the opposite of pulling onto a table
_STILL = {"thumb", "thumbs", "sign"}  # a pose stays the same played backward, whatever way it points

_MAX_CHOICES = 4096  # names tried per class


def mirrored_labels(class_names: Sequence[str]) -> tuple[int, ...]:
    """Label of each class after mirroring, by swapping left and right, clockwise and counterclockwise in class names.

    Classes without these words, or without a counterpart in the list, keep their label.
    """
    found = _counterparts(class_names, _MIRRORED)
    return tuple(label if other is None else other for label, other in enumerate(found))


def reversed_labels(class_names: Sequence[str], opposites: Sequence[tuple[str, str]] = ()) -> tuple[int | None, ...]:
    """Label of each class when its clips are played backward, by opposite words in class names.

    Args:
        class_names: K class names.
        opposites: pairs of classes that turn into each other, whatever their names; a class paired with itself looks
            the same backward.

    Returns:
        K labels: that of the class with the opposite words (pushing and pulling, up and down), the class's own if its
        name has no direction, or None if it has one but no class of the list, or more than one, is its opposite.

    Raises:
        DataError: `opposites` names an unknown class, or one class twice.

    Example:
        >>> from trishift.data.directions import reversed_labels
        >>> reversed_labels(["Pulling Hand In", "Pushing Hand Away", "Waving", "Opening"])
        (1, 0, 2, None)
    """
    found = _counterparts(class_names, _REVERSED)
    for label, words in enumerate(map(_words, class_names)):
        if _STILL & set(words) or (found[label] is None and not _DIRECTED & set(words)):
            found[label] = label
    given: dict[int, int] = {}
    for pair in opposites:
        for name in pair:
            if name not in class_names:
                raise DataError(f"data.augmentation.opposites: {name!r} is not a class; use names of the label file")
        one, other = (list(class_names).index(name) for name in pair)
        if one in given or other in given:
            raise DataError(
                f"data.augmentation.opposites: {pair[0]!r} or {pair[1]!r} is in two pairs; keep one of them"
            )
        given |= {one: other, other: one}
    rest = (None if other in given else other for other in found)  # their opposite has been given another one
    return tuple(given.get(label, other) for label, other in enumerate(rest))


def check_reversal(class_names: Sequence[str], labels: Sequence[int | None]) -> None:
    """Raise a DataError if playing clips backward changes a class; `labels` are those of `reversed_labels`."""
    for name, label, other in zip(class_names, range(len(labels)), labels, strict=True):
        if label != other:
            change = "something that is not in the label file" if other is None else repr(class_names[other])
            raise DataError(
                f"data.augmentation.reverse: played backward, {name!r} becomes {change}; set swap_labels or none, "
                f"or data.augmentation.opposites=[[{name}, {name}]] if the class looks the same"
            )


def _counterparts(class_names: Sequence[str], opposites: Mapping[str, Sequence[str]]) -> list[int | None]:
    """For each class, the only other class whose name has opposites of its words, if each is the other's."""
    names = [_words(name) for name in class_names]
    labels = {tuple(words): label for label, words in enumerate(names)}
    found: list[int | None] = []
    for label, words in enumerate(names):
        choices = islice(product(*(opposites.get(word, (word,)) for word in words)), _MAX_CHOICES)
        others = {labels[choice] for choice in choices if choice in labels} - {label}
        found.append(others.pop() if len(others) == 1 else None)
    return [other if other is not None and found[other] == label else None for label, other in enumerate(found)]


def _words(name: str) -> list[str]:
    """The words of a class name and the characters between them."""
    return re.split(r"\b", name.casefold().replace("_", " "))


def _forms(verb: str) -> tuple[str, ...]:
    """Infinitive, third person and present participle."""
    third = f"{verb}es" if verb.endswith(("s", "sh", "ch", "x", "z")) else f"{verb}s"
    stem = f"{verb[:-2]}y" if verb.endswith("ie") else verb[:-1] if verb.endswith("e") else verb
    if re.fullmatch(r"(un)?[^aeiou]+[aeiou][^aeiouwxy]", verb):  # sit, unzip
        stem += verb[-1]
    return verb, third, f"{stem}ing"


def _table() -> dict[str, tuple[str, ...]]:
    """The possible words after reversal."""
    pairs = [tuple(pair.split()) for pair in f"{_WAYS},{_PREPOSITIONS}".split(",")]
    pairs += [forms for pair in _VERBS.split(",") for forms in zip(*map(_forms, pair.split()), strict=True)]
    opposites: dict[str, list[str]] = {}
    for one, other in pairs:
        opposites.setdefault(one, []).append(other)
        opposites.setdefault(other, []).append(one)
    loose = set(re.findall(r"\w+", _PREPOSITIONS)) - _FIRM
    return {word: (*others, word) if word in loose else tuple(others) for word, others in opposites.items()}


_REVERSED = _table()
_DIRECTED = {form for verb in re.findall(r"\w+", _VERBS + _IRREVERSIBLE) for form in _forms(verb)}
_DIRECTED |= set(re.findall(r"\w+", _WAYS))
