"""HADIS on Kubernetes: watches cascades, plans, and keeps what runs them in shape."""
