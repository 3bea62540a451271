"""Texts for every reader of text files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

CONFIGS = Path(__file__).parents[2] / "configs"


ALIAS_BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)  # fmt: skip


TEXTS = (  # for every text reader
    *(
        "",
        "\0",
        "\ufeff",
        "\r",
        "\n" * 100_000,
        "#\n" * 50_000,
        "a" * 10**6,
        "a " * 300_000,
        "1 " * 300_000,
        ",1" * 300_000,
    ),
    *(
        "a" + " 1" * 32_000 + " x\n",
        ("a" + " 1" * 32_000 + " x\n") * 10,
        ("a" + ",1" * 32_000 + ",x\n") * 10,
        " " * 10**6,
    ),
    *(
        '"' * 200_000,
        '"' + "a\n" * 10_000,
        "a\t" * 60_000,
        "\x1b[31mred 1\n",
        "\u202eabc 1\n",
        "\udcff\udcfe 1\n",
        "a\x85b\u2028c 1\n",
    ),
    *(
        "a " + "9" * 5000 + "\n",
        "a " + "9" * 100_000 + "\n",
        "a -5\n",
        "a ١٢\n",
        "a ²\n",
        "a 1e5\n",
        "a 0x10\n",
        "a\x1f1\n",
        "[" * 100_000,
    ),
    *(
        "{" * 100_000,
        "- " * 50_000,
        "? " * 20_000,
        "&a " * 20_000,
        "!!python/name:os.system x",
        "%YAML 9.9\n---\n",
        "a: |\n" * 1000,
    ),
)


def write_texts(folder: Path, suffix: str, texts: Iterator[str] | tuple[str, ...]) -> None:
    for number, text in enumerate(texts):
        (folder / f"{number:03d}{suffix}").write_bytes(text.encode("utf-8", "surrogateescape"))


def with_devices(write: Callable[[Path], None], suffix: str) -> Callable[[Path], None]:
    """Add links to an endless device, a pipe and a folder."""

    def hostile(folder: Path) -> None:
        write(folder)
        (folder / f"zero{suffix}").symlink_to("/dev/zero")
        (folder / f"loop{suffix}").symlink_to(f"loop{suffix}")
        (folder / f"folder{suffix}").mkdir()
        (folder / f"folder{suffix}" / "x").touch()

    return hostile
