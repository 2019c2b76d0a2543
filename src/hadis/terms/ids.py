"""Names that must not be mixed up."""

from typing import NewType

CascadeName = NewType("CascadeName", str)
"""The `metadata.name` of a HadisCascade."""
ModelName = NewType("ModelName", str)
"""A model (variant) of a cascade: `spec.models[].name`."""
WorkerName = NewType("WorkerName", str)
"""A worker slot: stable across restarts of the process or pod that fills it."""
RequestId = NewType("RequestId", str)
"""One request of a client; its images are numbered from it."""
