"""People's own files: which of a folder are taken, and how each kind becomes a page."""
