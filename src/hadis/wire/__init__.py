"""Bodies that cross process borders, with `to_terms()` / `from_terms()` to the domain's values."""
