"""One module per command: `main(arguments)` parses, calls the library and prints; `shared/` holds common code."""
