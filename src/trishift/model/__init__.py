"""Framework-free model definitions: description, tensors, losses and initial weights."""
