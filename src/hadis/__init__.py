"""HADIS serves text-to-image diffusion cascades: the best picture that deadline and GPUs allow.

This package is the domain. It decides: how hard a prompt is, which model it enters, which worker
runs it, whether an image is good enough, and which models the workers should hold. It performs no
network, cluster or GPU work and reads no clock; the shells around it do.
"""

__version__ = "0.1.0"
