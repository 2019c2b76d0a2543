"""The `hadis` command and the local fleet that `hadis up` runs."""
