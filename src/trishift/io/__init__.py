"""Files, pickles, threads and progress bars; knows nothing of video or models."""
