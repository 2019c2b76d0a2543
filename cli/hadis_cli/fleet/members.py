"""Who the fleet is made of: nursery, router, workers and load generator, each in its slot."""

import asyncio
import functools
import json
import os
import secrets
import shutil
from dataclasses import replace

from hadis.wire import manifests
from hadis.wire.manifests import Manifests
from hadis_cli.fleet import cascade_files, options, processes
from hadis_cli.fleet.nursing import Nursery
from hadis_cli.fleet.options import Options, RunFolder
from hadis_cli.fleet.processes import Process
from hadis_cli.fleet.slots import Slot, Start, Tell
from hadis_serving.keys import KEYS_VARIABLE

SMALL_GRACE_S = 3.0
ROUTER_GRACE_S = 15.0
"""What the router is given beyond its last deadline, until which it drains: time for the last
answers to reach slow clients, and for its own end."""
UNROUTED_WITHIN_S = 10.0
"""How long a worker that is to go is kept while the router may still send to it."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
PLAIN_PROMPTS = (
    "a red circle",
    "two green squares",
    "a small blue triangle left of a large yellow circle",
    "a bowl of fruit on a wooden table",
    "a lighthouse on a cliff at sunset, seen from the sea",
)


class Members:
    """The processes of the fleet and the cascade that they run."""

    def __init__(
        self, chosen: Options, given: Manifests, folder: RunFolder, load_port: int, tell: Tell
    ) -> None:
        self.given = given
        self.changed = asyncio.Event()
        self.workers: dict[str, Slot] = {}
        self.leaving: frozenset[str] = frozenset()
        self._chosen = chosen
        self._folder = folder
        self._tell = tell
        self._load_port = load_port
        self._load_key = secrets.token_urlsafe(24)
        self._nursery: Nursery | None = None
        self._nursery_lock = asyncio.Lock()
        self._longest_slo_s = given.cascade.slo_s
        self._unrouted: dict[str, asyncio.Event] = {}
        self._departures: set[asyncio.Task[None]] = set()
        self.router = self._slot("router", self._start_router)
        self.load = self._slot("load", self._start_load)

    @property
    def count(self) -> int:
        """How many workers there shall be: no more than cores unless asked for."""
        if self._chosen.workers is not None:
            return self._chosen.workers
        return min(self.given.cascade.workers, max(options.cores(), options.gpus()))

    @property
    def controlled(self) -> dict[str, Slot]:
        """The processes that have a control port."""
        return {**self.workers, "router": self.router}

    async def start(self) -> None:
        """Start everything at the same time.

        The load generator has nothing to do yet, but started later it would slow down the first
        image: on two cores its imports take a second from the workers.
        """
        self._write_cascade()
        self.router.run()
        self._scale()
        self.load.run()
        await self._nursed()

    def apply(self, given: Manifests) -> None:
        """Take over a changed cascade: new processes start with it, the fleet gets its size."""
        generation = self.given.cascade.generation + 1
        self.given = replace(given, cascade=replace(given.cascade, generation=generation))
        self._longest_slo_s = max(self._longest_slo_s, given.cascade.slo_s)
        self._write_cascade()
        self._scale()
        self.changed.set()

    def note_routed(self, names: frozenset[str]) -> None:
        """Hear which workers the routing table in force names, so that others may go."""
        for name, event in self._unrouted.items():
            if name not in names:
                event.set()

    async def stop(self) -> None:
        """Drain and stop everything: first what sends, then the router, then who answers it."""
        await self.load.stop(grace_s=SMALL_GRACE_S)
        await self.router.stop(grace_s=self._longest_slo_s + ROUTER_GRACE_S)
        for task in self._departures:
            task.cancel()
        await asyncio.gather(*(slot.stop(grace_s=SMALL_GRACE_S) for slot in self._all_workers()))
        if self._nursery is not None:
            await self._nursery.process.stop(grace_s=SMALL_GRACE_S)

    async def kill(self) -> None:
        """End everything at once."""
        for task in self._departures:
            task.cancel()
        slots = [self.load, self.router, *self._all_workers()]
        await asyncio.gather(*(slot.kill() for slot in slots))
        if self._nursery is not None:
            await self._nursery.process.kill()

    def _all_workers(self) -> list[Slot]:
        return list(self.workers.values())

    def _slot(self, name: str, start: Start) -> Slot:
        return Slot(name, self._folder.log(name), start, self._tell, self.changed.set)

    def _scale(self) -> None:
        wanted = [f"w{index}" for index in range(self.count)]
        for name in wanted:
            if name not in self.workers:
                slot = self._slot(name, functools.partial(self._start_worker, name))
                self.workers[name] = slot
                slot.run()
        gone = [name for name in self.workers if name not in wanted]
        for name in set(gone) - self.leaving:
            self._unrouted[name] = asyncio.Event()
            task = asyncio.create_task(self._retire(name), name=f"retire {name}")
            self._departures.add(task)
            task.add_done_callback(self._departures.discard)
        self.leaving = frozenset(gone)

    async def _retire(self, name: str) -> None:
        """Stop a worker once the router no longer sends to it; what it has accepted is finished."""
        try:
            async with asyncio.timeout(UNROUTED_WITHIN_S):
                await self._unrouted[name].wait()
        except TimeoutError:
            self._tell(f"{name} is still in the routing table; stopping it all the same")
        if name not in self.leaving:
            return  # wanted again meanwhile
        await self.workers[name].stop(grace_s=self.given.cascade.slo_s + SMALL_GRACE_S)
        del self.workers[name]
        del self._unrouted[name]
        self.leaving -= {name}
        self._scale()  # it may be wanted again by now
        self.changed.set()

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, **ONE_THREAD}
        environment |= {"TOKENIZERS_PARALLELISM": "false", "PYTHONSAFEPATH": "1"}
        environment.pop(KEYS_VARIABLE, None)
        if not cascade_files.needs_network(self.given.cascade):
            environment |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        return environment

    async def _nursed(self) -> Nursery:
        async with self._nursery_lock:
            if self._nursery is None or not self._nursery.process.is_alive:
                if self._nursery is not None:
                    self._tell("the nursery ended; starting it again")
                self._nursery = await Nursery.start(
                    log=self._folder.log("nursery"), environment=self._environment()
                )
            return self._nursery

    async def _start_worker(self, name: str) -> Process:
        nursery = await self._nursed()
        argv = ["--cascade", str(self._folder.cascade), "--name", name]
        argv += ["--port", "0", "--control-port", "0", "--metrics-port", "0", "--threads", "1"]
        argv += ["--grace-s", f"{self.given.cascade.slo_s:g}"]
        gpus, environment = options.gpus(), {}
        if gpus == 0:
            argv += ["--memory-share", f"{options.memory_share(self._chosen.workers):.6g}"]
        if gpus > 1 and "CUDA_VISIBLE_DEVICES" not in os.environ:
            environment["CUDA_VISIBLE_DEVICES"] = str(int(name[1:]) % gpus)
        return await nursery.spawn(name, argv, log=self._folder.log(name), environment=environment)

    async def _start_router(self) -> Process:
        chosen = self._chosen
        argv = ["-m", "hadis_cli.fleet.launch", str(os.getpid()), "hadis_router"]
        argv += ["--cascade", str(self._folder.cascade)]
        argv += ["--host", chosen.host, "--port", str(chosen.port), "--control-port", "0"]
        argv += ["--load-url", f"http://127.0.0.1:{self._load_port}"]
        environment = self._environment()
        if chosen.api_keys_file is not None:
            argv += ["--api-keys-file", str(chosen.api_keys_file)]
        if chosen.insecure:
            argv += ["--insecure"]
        given = os.environ.get(KEYS_VARIABLE, "")
        if given or chosen.api_keys_file is not None:
            # The load generator is a client as any other and shows a key of its own.
            environment[KEYS_VARIABLE] = f"{given} {self._load_key}".strip()
        return await processes.spawn(
            "router", argv, log=self._folder.log("router"), environment=environment
        )

    async def _start_load(self) -> Process:
        chosen, cascade = self._chosen, self.given.cascade
        self._folder.prompts.write_text("\n".join(self._prompts()), encoding="utf-8")
        host = "127.0.0.1" if chosen.host in ("0.0.0.0", "::", "localhost") else chosen.host
        url = f"http://[{host}]:{chosen.port}" if ":" in host else f"http://{host}:{chosen.port}"
        argv = ["-m", "hadis_cli.benching.load_process", "--url", url]
        argv += ["--prompts", str(self._folder.prompts), "--slo", f"{cascade.slo_s:g}"]
        argv += ["--port", str(self._load_port), "--parent", str(os.getpid())]
        environment = {**self._environment(), "HADIS_LOAD_KEY": self._load_key}
        return await processes.spawn(
            "load", argv, log=self._folder.log("load"), environment=environment
        )

    def _write_cascade(self) -> None:
        """Write what every process starts with, whole or not at all."""
        text = manifests.dump_manifests(self.given.cascade, self.given.profile)
        fresh = self._folder.cascade.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self._folder.cascade)
        examples = self._chosen.cascade.resolve().parent / options.EXAMPLES
        if examples.is_file():
            shutil.copyfile(examples, self._folder.path / options.EXAMPLES)

    def _prompts(self) -> list[str]:
        """Return the example prompts, one a line each; plain ones when there are none."""
        try:
            text = (self._folder.path / options.EXAMPLES).read_text(encoding="utf-8")
            groups = json.loads(text)["groups"]
            found = [" ".join(str(prompt).split()) for g in groups for prompt in g["prompts"]]
        except (OSError, ValueError, KeyError, TypeError):
            found = []
        return [prompt for prompt in found if prompt] or list(PLAIN_PROMPTS)
