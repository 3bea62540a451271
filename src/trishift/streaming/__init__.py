"""Online recognition, frame by frame."""
