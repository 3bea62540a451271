"""Code shared by commands: common arguments, and the models and videos they name."""
