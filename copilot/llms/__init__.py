"""Who writes the answer: local language models behind one interface."""
