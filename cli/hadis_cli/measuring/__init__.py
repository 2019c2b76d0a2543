"""`hadis profile`, part by part: what it is given, its phases, and what it writes and shows."""
