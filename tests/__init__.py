"""A package, so that `tests.beatgan.literal` is found: iterative-stratification installs a `tests` of its own."""
