"""What a model is, free of frameworks: its description, its tensors, its losses and its initial weights."""
