"""One module a command: each has `main(arguments)`, which parses, calls the library and prints."""
