"""Deployment formats."""
