"""The commands: one verb a file, each takes its options and returns its result."""
