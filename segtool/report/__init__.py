"""Results to people: the terminal and plots."""
