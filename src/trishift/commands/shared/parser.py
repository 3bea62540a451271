"""Parsers of commands, whose errors are one line with the nearest option instead of the whole syntax."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NoReturn

from trishift.io.terminal import printable
from trishift.io.wording import nearest, one_of

_USAGE_STATUS = 2  # of a wrong command line, as in other programs


def make_parser(name: str, description: str, examples: str) -> Parser:
    """Make a parser whose help ends with examples."""
    return Parser(
        prog=f"trishift {name}",
        description=description,
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


class _Found(BaseException):
    """Carries a parser out of a command's `main`."""

    def __init__(self, parser: Parser) -> None:
        self.parser = parser


_looking: ContextVar[bool] = ContextVar("looking", default=False)


def parser_of(main: Callable[[list[str]], None]) -> Parser:
    """The parser of a command, which does not run: its `main` makes the parser before anything else."""
    token = _looking.set(True)
    try:
        main([])
    except _Found as found:
        return found.parser
    finally:
        _looking.reset(token)
    raise AssertionError(f"{main.__module__} parses nothing")


class Parser(argparse.ArgumentParser):
    """A parser that prints `error: <option>: <problem>; <remedy>`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._words: Sequence[str] = ()
        self._operands: Sequence[str] = ()

    def parse_known_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse in two passes as usual; the first one may drop `--`, so the words after it are kept for the second."""
        words = [*map(str, sys.argv[1:] if args is None else args)]
        self._operands = words[words.index("--") + 1 :] if "--" in words else ()
        return super().parse_known_intermixed_args(args, namespace)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as usual, keeping the words for messages."""
        if _looking.get():
            raise _Found(self)
        self._words = tuple(map(str, sys.argv[1:] if args is None else args))
        return super().parse_known_args(args, namespace)

    def _parse_optional(self, arg_string: str) -> Any:
        is_operand = "--" not in self._words and arg_string in self._operands
        return None if is_operand else super()._parse_optional(arg_string)

    def error(self, message: str) -> NoReturn:
        """Print the error in one line and exit with status 2."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            message = self._unknown(unknown.split()[0])
        elif misspelled := self._misspelled():  # more to the point than the option that is missing for it
            message = self._unknown(misspelled)
        message = message.removeprefix("argument ")
        help_hint = "" if ";" in message else f"; see {self.prog} --help"
        self.exit(_USAGE_STATUS, f"error: {printable(message)}{help_hint}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, f"{value!r} is unknown{one_of(str(value), map(str, action.choices))}")

    def _unknown(self, word: str) -> str:
        """The message about an option that the command does not have, or a word that it does not expect."""
        if not word.startswith("-"):
            return f"{word}: unexpected"
        option, equals, value = word.partition("=")
        name, close = _key(option), nearest(option, self._options())
        entries = [] if close and _key(close) == name else self._recipe_entries(name)
        exact = [key for key in entries if _key(key).endswith(name)]
        value = value if equals else self._value_after(word)
        suggestions = [*(f"{key}={value}" for key in exact), close, *(f"{key}={value}" for key in entries)]
        suggestion = next(filter(None, suggestions), None)
        return f"{option}: unknown option" + (f"; did you mean {suggestion}?" if suggestion else "")

    def _misspelled(self) -> str | None:
        """The first word that looks like an option but is not one, nor the beginning of one."""
        options = [*self._options()]
        words = list(self._words)
        words = words[: words.index("--")] if "--" in words else words
        names = (word.partition("=")[0] for word in words if word.startswith("--"))
        return next((name for name in names if not any(option.startswith(name) for option in options)), None)

    def _options(self) -> Iterator[str]:
        """The long options of this command and of the subcommand in its words."""
        for action in self._actions:
            yield from (text for text in action.option_strings if text.startswith("--"))
            if isinstance(action, argparse._SubParsersAction):
                chosen = next((action.choices[word] for word in self._words if word in action.choices), None)
                yield from chosen._options() if chosen else ()

    def _recipe_entries(self, name: str) -> list[str]:
        """The dotted recipe keys that an option may mean, in commands that take overrides: `train.lr` for `lr`."""
        if not any(action.dest == "overrides" for action in self._actions):
            return []
        from trishift.recipe.reading import close_keys

        return close_keys(name.rpartition(".")[2])

    def _value_after(self, option: str) -> str:
        following = self._words[self._words.index(option) + 1 :][:1] if option in self._words else ()
        return following[0] if following and not following[0].startswith("-") else "..."


def _key(option: str) -> str:
    """An option as it would be spelled in a recipe."""
    return option.lstrip("-").replace("-", "_").lower()
