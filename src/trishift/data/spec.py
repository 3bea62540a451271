"""The data section of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trishift.data.balance import BalanceSpec
from trishift.data.sampling import SamplingSpec
from trishift.data.transforms import AugmentationSpec
from trishift.errors import RecipeError
from trishift.io.regular import joined
from trishift.io.typed import FORBID_UNKNOWN_KEYS

WorkerType = Literal["auto", "threads", "processes"]


@dataclass(frozen=True)
class DataSpec:
    """Location of the clips and reading options, in a recipe.

    Attributes:
        root: folder of the data set, which the next four paths are relative to, on this machine or in an object store
            (`s3://bucket/set`, see docs/remote_data.md); default: the current folder.
        clips: folder that paths inside the lists are relative to; default: `root`, or without a root the folder of
            each list.
        train_list, val_list: lists of clips, see `lists.read_list`.
        labels: file of class names, see `lists.read_labels`; None: classes are named by their numbers.
        template: file name of a frame in a frame folder (`img_{:05d}.jpg`) or of flow (`flow.picture_templates`); None:
            detected.
        sampling: selects the frames of a training clip.
        augmentation: random changes of training clips.
        balance: how often the clips of each class appear in an epoch.
        on_error: an unreadable training clip stops the run (`fail`) or is replaced by another one and reported
            (`skip`). In evaluation, unreadable clips are never replaced; they count as misses.
        cache: keep decoded frames in memory, for sets of small clips.
        workers: number of threads or processes that load clips.
        worker_type: `threads`; `processes`, which do not share an interpreter lock; `auto`: processes where they are
            faster, that is for many clips that are not cached, on Linux. The clips are the same.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    root: str | None = None
    clips: str | None = None
    train_list: str | None = None
    val_list: str | None = None
    labels: str | None = None
    template: str | None = None
    sampling: SamplingSpec = field(default_factory=SamplingSpec)
    augmentation: AugmentationSpec = field(default_factory=AugmentationSpec)
    balance: BalanceSpec = field(default_factory=BalanceSpec)
    on_error: Literal["fail", "skip"] = "fail"
    cache: bool = False
    workers: int = 2
    worker_type: WorkerType = "auto"

    def __post_init__(self) -> None:
        fastest, mode = self.augmentation.speed[1], self.sampling.mode
        if fastest > 1 and mode != "dense":
            raise RecipeError(
                f"augmentation.speed: {fastest:g} is too fast, sampling.mode {mode} already spans the whole video; "
                "use speeds up to 1, or sampling.mode=dense"
            )

    def path(self, name: str) -> Path:
        """Resolve a path of the recipe relative to `root`."""
        return joined(Path(self.root or "."), name)

    @property
    def clips_folder(self) -> Path | None:
        """Folder that paths inside the lists are relative to; None: the folder of each list."""
        return None if self.root is None and self.clips is None else self.path(self.clips or ".")
