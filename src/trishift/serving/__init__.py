"""Models over HTTP: the service for programs (`trishift serve`) and the page for people (`trishift demo`)."""
