"""The vocabulary of HADIS: frozen values without behaviour beyond their own invariants."""
