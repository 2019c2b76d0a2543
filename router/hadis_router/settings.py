"""What a router process is told at start."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Fixed for the life of the process; everything else arrives on the control port."""

    cascade_file: Path
    """The manifest of the cascade; `examples.json` beside it feeds the playground."""
    name: str = "router"
    """Told in `/status`, so that a controller can tell routers apart."""
    uid: str = ""
    """This process's identity in `/status`."""
    load_url: str | None = None
    """Where the load generator of the local fleet listens; None answers 404 to the slider."""
    drain_s: float | None = None
    """How long open requests may take to finish after SIGTERM; None: until their deadlines."""
    farewell_s: float = 0.0
    """How long requests are still taken after SIGTERM, from clients that keep connections. Each
    answer ends its connection, so that the next request goes to another router."""
    worker_domain: str = ""
    """Where a worker's next process is looked for under its name (`NAME.DOMAIN`) once its address
    has fallen silent and no controller tells another; empty: nowhere."""
    public_probes: bool = True
    """Whether the public port serves `/metrics` and the probes, as it does on one machine."""
    timings: "Timings" = field(default_factory=lambda: Timings())


@dataclass(frozen=True, slots=True)
class Timings:
    """Waiting times that no cascade states."""

    connect_s: float = 1.0
    """A worker's pod may be gone for longer than its address; then the next worker is tried."""
    heartbeat_s: float = 15.0
    """A comment this often keeps proxies from cutting a silent stream."""
    stall_grace_s: float = 0.4
    """Added to a worker's batch time before its silence counts as a stall."""
    not_resident_s: float = 2.0
    """How long a worker's word that it lacks a model is believed; it may be loading it."""
    body_s: float = 30.0
    """How long a client may take to send a body; one that never does would stay for ever."""
    max_body_bytes: int = 1024 * 1024
    """Two longest prompts, every character escaped; larger bodies are refused."""
