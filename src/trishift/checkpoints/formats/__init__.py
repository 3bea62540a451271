"""File formats of weights: each module turns files of one kind into named numpy arrays and back."""
