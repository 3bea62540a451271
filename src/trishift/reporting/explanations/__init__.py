"""Explanations of a prediction as pictures, films and pages."""
