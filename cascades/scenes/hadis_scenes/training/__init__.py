"""Train the scenes cascade from nothing: ``python -m hadis_scenes.training``."""
