"""Self-contained HTML pages: one template and one style for all of them, and charts that follow the style."""
