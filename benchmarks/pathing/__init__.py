"""Parts of the benchmark of paths: its cities, and the methods beside the path."""
