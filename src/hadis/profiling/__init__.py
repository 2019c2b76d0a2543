"""From measurements to the lookup table of section 4.2: sweep, prune, read and write."""
