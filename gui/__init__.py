"""The desktop-style pages. Every button calls one function of copilot or rlcore."""
