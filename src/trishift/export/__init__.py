"""Deployment formats: written from a checkpoint, verified against it, and opened as predictors."""
