"""What flows: batches of experience and the memory they rest in."""
