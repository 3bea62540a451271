"""What trainers wrap around weights: nested dictionaries around the tensors, and prefixes before their names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_STATE_KEYS = ("state_dict", "model", "model_state_dict", "model_state", "net", "params")  # best first
_OPTIMIZER_WORDS = ("optim", "scheduler", "scaler")  # in keys of dictionaries that hold no weights
_DEEPEST = 6  # dictionaries inside dictionaries that are searched

_PARALLEL = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_layers"}  # at any position
_OWNERS = {  # at the start of names: attributes of training modules that hold the model
    *("model", "net", "network", "_backbone", "_network", "averaged_model"),
    *("ema", "ema_model", "model_ema", "ema_module", "module_ema", "ema_net", "net_ema", "ema_network"),
}


@dataclass(frozen=True)
class StateDict:
    """The dictionary of tensors found in a saved object.

    Attributes:
        tensors: its entries that are tensors.
        extras: plain values (text, numbers) beside it and around it.
        ignored: other entries, with the reason for skipping them.
    """

    tensors: dict[str, Any]
    extras: dict[str, Any]
    ignored: dict[str, str]


def find_state_dict(content: Mapping[Any, Any], is_tensor: Callable[[Any], bool]) -> StateDict | None:
    """Find the weights in nested dictionaries; None if there are no tensors outside of optimizer states.

    Usual keys win over others, weights over their moving averages (`ema`), and larger dictionaries over smaller ones.
    """
    candidates = {
        keys: tensors
        for keys, entries in _dictionaries(content, (), set())
        if (tensors := {str(name): value for name, value in entries.items() if is_tensor(value)})
    }
    if not candidates:
        return None
    chosen = min(candidates, key=lambda keys: _rank(keys, len(candidates[keys])))
    extras: dict[str, Any] = {}
    ignored: dict[str, str] = {}
    around: Any = content
    for inner in (*chosen, None):
        for key, value in around.items():
            if isinstance(value, str | int | float | bool):
                extras.setdefault(str(key), value)
            elif not is_tensor(value) and (inner is None or key != inner):
                ignored[str(key)] = "not needed to run the model"
        around = around if inner is None else around[inner]
    for keys in candidates:
        if keys != chosen[: len(keys)]:
            ignored[str(keys[-1])] = f"another dictionary of tensors than {' > '.join(map(str, chosen)) or 'the file'}"
    return StateDict(candidates[chosen], extras, ignored)


def _dictionaries(
    content: Mapping[Any, Any], keys: tuple[Any, ...], seen: set[int]
) -> Iterator[tuple[tuple[Any, ...], Mapping[Any, Any]]]:
    """Every dictionary, once, with the keys that lead to it; states of optimizers are skipped."""
    seen.add(id(content))
    yield keys, content
    for key, value in content.items() if len(keys) < _DEEPEST else ():
        skipped = any(word in str(key).lower() for word in _OPTIMIZER_WORDS)
        if isinstance(value, dict) and id(value) not in seen and not skipped:
            yield from _dictionaries(value, (*keys, key), seen)


def _rank(keys: tuple[Any, ...], size: int) -> tuple[bool, int, int]:
    """Sort key of a dictionary of `size` tensors; the smallest is chosen."""
    averaged = any("ema" in str(key).lower().split("_") for key in keys)
    known = min((_STATE_KEYS.index(key) for key in keys if key in _STATE_KEYS), default=len(_STATE_KEYS))
    return averaged, known, -size


@dataclass(frozen=True)
class PlainNames:
    """Names of a file without what training modules put before them.

    Attributes:
        plain: name in the file to plain name.
        copies: names in the file of further copies of the weights, such as moving averages, to the reason to skip them.
    """

    plain: dict[str, str]
    copies: dict[str, str]


def plain_names(names: Collection[str]) -> PlainNames:
    """Remove wrappers from names, in any order and nesting: `model.`, `module.`, `_orig_mod.`, `ema_model.`, ...

    Moving averages beside the weights are skipped. Other names that would become equal are left as they are.
    """
    split = {name: _split(name) for name in names}
    averaged = {name for name, (prefix, _) in split.items() if _is_averaged(prefix)}
    plain: dict[str, str] = {}
    copies: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(split, key=averaged.__contains__):  # a stable sort: averages come last
        short = split[name][1]
        if short in taken and name in averaged:
            copies[name] = "a moving average of the weights"
            continue
        plain[name] = name if short in taken else short
        taken.add(short)
    return PlainNames({name: plain[name] for name in names if name in plain}, copies)


def without_shared_part(names: PlainNames) -> PlainNames | None:
    """The names without the first part that all of them share, or None if they share none."""
    first = {name.partition(".")[0] for name in names.plain.values()}
    if len(first) != 1 or not all("." in name for name in names.plain.values()):
        return None
    return PlainNames({raw: name.partition(".")[2] for raw, name in names.plain.items()}, names.copies)


def _split(name: str) -> tuple[tuple[str, ...], str]:
    """The parts of a name that wrappers put at its start, and the plain name."""
    parts = name.split(".")
    last = len(parts) - 1
    inner = [part for position, part in enumerate(parts) if position == last or part not in _PARALLEL]
    start = 0
    while start < len(inner) - 1 and inner[start] in _OWNERS:
        start += 1
    return tuple(inner[:start]), ".".join(inner[start:])


def _is_averaged(prefix: tuple[str, ...]) -> bool:
    return any("ema" in part.split("_") or part == "averaged_model" for part in prefix)
