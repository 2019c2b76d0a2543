"""Cascade and installation to the objects that run them, as plain JSON values.

Every function is pure: an owner, the admitted spec of its HadisCascade and the installation in,
manifests out. Whether and when they are sent is decided elsewhere.
"""
