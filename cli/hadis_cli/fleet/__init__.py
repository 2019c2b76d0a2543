"""The local fleet: a whole cascade as supervised processes on this machine."""
