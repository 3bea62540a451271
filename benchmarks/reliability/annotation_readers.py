"""Readers of the annotations of public data sets and label tools."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.reliability.readers import Reader
from benchmarks.reliability.texts import TEXTS, with_devices, write_texts
from testing.annotations import FILES


def _annotation_seeds(folder: Path) -> None:
    def write(kind: str, **files: str) -> None:
        (folder / kind).mkdir()
        for name, text in files.items():
            (folder / kind / name.replace("__", ".").replace("_X_", "-")).write_text(text)

    names = ("Walking", "Running", "Sitting down")
    lines = "".join(f"{i};{names[i % 3]}\n" for i in range(30))
    write(
        "jester",
        **{"jester-v1-labels.csv": "\n".join(names), "jester-v1-train.csv": lines, "jester-v1-validation.csv": lines},
    )
    entries = json.dumps([{"id": str(i), "template": f"[{names[i % 3]}]"} for i in range(30)])
    labels = json.dumps({name: str(i) for i, name in enumerate(names)})
    prefix = "something-something-v2-"
    write(
        "somethingv2",
        **{f"{prefix}labels.json": labels, f"{prefix}train.json": entries, f"{prefix}validation.json": entries},
    )
    rows = "label,youtube_id,time_start,time_end,split\n" + "".join(
        f'"{names[i % 3]}",id{i},{i},{i + 10},x\n' for i in range(30)
    )
    write("kinetics", **{"train.csv": rows, "val.csv": rows})
    split = "".join(f"{names[i % 2]}/v_{i}.avi {i % 2 + 1}\n" for i in range(20))
    lists = {f"{part}list0{number}.txt": split for part in ("train", "test") for number in (1, 2, 3)}
    write("ucf101", **{"classInd.txt": "1 Walking\n2 Running\n", **lists})
    marks = "".join(f"v {i}.avi {i % 3}\n" for i in range(20))
    write("hmdb51", **{f"{name}_test_split{number}.txt": marks for name in ("walk", "run") for number in (1, 2, 3)})
    cells = "".join(f"{names[i % 3]}/{i}.mp4,{names[i % 3]},3,1\n" for i in range(20))
    write(
        "moments",
        **{
            "moments_categories.txt": "".join(f"{n},{i}\n" for i, n in enumerate(names)),
            "trainingSet.csv": cells,
            "validationSet.csv": cells,
        },
    )


def _hostile_annotations(folder: Path) -> None:
    seeds = folder / "seeds"
    seeds.mkdir()
    _annotation_seeds(seeds)
    number = 0
    texts = [
        *TEXTS,
        "/,1\n",
        ".,1\n",
        "..,0\n",
        "/;Walking\n",
        "a,0\n",
        '"' + "a" * 200_000 + '",1\n',
        "a," + "9" * 5000 + "\n",
        "[5]",
        "{}",
        '[{"id": [], "template": {}}]',
        "../../x;Walking\n",
        "../x/y.avi 1\n",
    ]
    for kind in sorted(seeds.iterdir()):
        for file in sorted(kind.iterdir())[:3]:
            for text in texts:
                case = folder / f"{kind.name}-{number:04d}"
                shutil.copytree(kind, case)
                (case / file.name).write_bytes(text.encode("utf-8", "surrogateescape"))
                number += 1
    for kind in ("jester", "kinetics"):
        case = folder / f"{kind}-device"
        shutil.copytree(seeds / kind, case)
        name = "jester-v1-labels.csv" if kind == "jester" else "train.csv"
        Path(case / name).unlink()
        (case / name).symlink_to("/dev/zero")
    shutil.rmtree(seeds)


def read_annotations(path: Path, out: Path) -> None:
    """Read the annotations of a public data set, as in `trishift prepare NAME`."""
    from trishift.data import prepare

    kind = path.name.partition("-")[0]
    prepare.PUBLIC_SETS[kind](path, out / "lists", prepare.Options(workers=1))


def _tool_seeds(folder: Path) -> None:
    for name, content in FILES.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def _hostile_tool_files(folder: Path) -> None:
    nested = "".join(f"<a{i}>" for i in range(50_000))
    bomb = "<!DOCTYPE a [" + "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 20}">' for i in range(1, 12)) + "]>"
    slots = "".join(f'<TIME_SLOT TIME_SLOT_ID="t{i}"/>' for i in range(50_000))
    chain = "".join(
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a{i + 1}" ANNOTATION_REF="a{i}"/></ANNOTATION>'
        for i in range(20_000)
    )
    siblings = "".join(
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="b{i}" ANNOTATION_REF="a" PREVIOUS_ANNOTATION="b{i + 1}"/>'
        "</ANNOTATION>"
        for i in range(20_000)
    )
    texts = [
        *TEXTS,
        nested,
        f"{bomb}<annotations><version>&e11;</version></annotations>",
        f"<ANNOTATION_DOCUMENT><TIME_ORDER>{slots}</TIME_ORDER><TIER>{chain}</TIER></ANNOTATION_DOCUMENT>",
        f"<ANNOTATION_DOCUMENT><TIER>{siblings}</TIER></ANNOTATION_DOCUMENT>",
        "[" * 200_000,
        '{"a":' * 200_000,
        '{"database": {"a": {"annotations": [' + '{"segment": [0, 1], "label": "x"},' * 50_000 + "{}]}}}",
        "video,start,end,label\n" + "a,0.5,1,x\n" * 100_000,
        "video,start,end,label\n" + "a,0.5,1," + ";" * 60_000 + "\n",
        "# CSV_HEADER = metadata_id,file_list\n" * 20_000,
    ]
    write_texts(folder, "", tuple(texts))


def read_tool_files(path: Path, out: Path) -> None:
    """Read the annotations of a label tool, as in `trishift prepare intervals`."""
    from trishift.data.annotations import read_annotations as read

    for annotation in read([path]).found[:1000]:
        _ = str(annotation.part), annotation.label.encode("utf-8", "surrogateescape")


READERS = {
    "annotations": Reader("annotations of public data sets", _annotation_seeds, _hostile_annotations, read_annotations),
    "intervals": Reader(
        "annotations of label tools (`prepare intervals`)",
        _tool_seeds,
        with_devices(_hostile_tool_files, ".json"),
        read_tool_files,
    ),
}
