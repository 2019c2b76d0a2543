"""Measure the scenes cascade on its prompts: ``python -m hadis_scenes.evaluation``."""
