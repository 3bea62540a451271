"""Turn folders of clips into lists and labels that recipes can name."""

from __future__ import annotations

from trishift.data.prepare.folder import FolderReport, prepare_folder

__all__ = ["FolderReport", "prepare_folder"]
