"""Deployment formats: written from a checkpoint, proven against it, and opened again as predictors."""
