"""One finding of the doctor a file: its test, its record, and what `gsi doctor --explain` says of it."""
