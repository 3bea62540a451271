"""Reports: a run or an evaluation as a page and pictures, and the comparison of several."""
