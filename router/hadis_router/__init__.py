"""HADIS."""
