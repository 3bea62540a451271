"""Finding clips in downloads."""

from __future__ import annotations

from pathlib import Path

from trishift.data.prepare.tree import Tree, walk


def test_prefers_the_best_copy_of_a_clip(tmp_path: Path) -> None:
    order = ("replacement_for_k400/x.mp4", "a/x.mp4", "b/x/img_00001.jpg", "a/videos-256/x.mp4", ".trash/x.mp4")
    for name in order:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in order[:-1]:
        found = Tree([tmp_path, tmp_path / "a"]).clip(["nowhere", "x"])
        assert found == (tmp_path / name if name.endswith("mp4") else (tmp_path / name).parent)
        (tmp_path / name).unlink()
    assert Tree([tmp_path]).clip(["x"]) is None


def test_links_are_followed_without_loops(tmp_path: Path) -> None:
    (tmp_path / "all" / "x").mkdir(parents=True)
    (tmp_path / "all" / "clip.mp4").touch()
    (tmp_path / "wave").symlink_to(tmp_path / "all")  # a class under another name
    (tmp_path / "all" / "x" / "loop").symlink_to(tmp_path)
    assert Tree([tmp_path]).clip(["wave/clip"]) == tmp_path / "wave" / "clip.mp4"
    assert len(list(walk(tmp_path))) == 5
