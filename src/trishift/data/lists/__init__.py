"""Text files of a data set: lists of clips and the names of its classes."""

from trishift.data.lists.class_names import find_labels, read_labels, write_labels
from trishift.data.lists.clips import read_list
from trishift.data.lists.records import ClipList, VideoRecord
from trishift.data.lists.writing import write_list

__all__ = ["ClipList", "VideoRecord", "find_labels", "read_labels", "read_list", "write_labels", "write_list"]
