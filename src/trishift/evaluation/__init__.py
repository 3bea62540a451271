"""Video scores under an evaluation protocol, metrics, predictions, and their files."""
