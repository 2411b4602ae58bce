"""Parts of the benchmark of galleries: data, stores to compare, streams, an idle service."""
