"""Files, pickles, threads and progress bars, independent of video and models."""
