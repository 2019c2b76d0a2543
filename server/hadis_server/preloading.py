"""Import everything heavy, for a parent process that forks workers.

Importing torch and diffusers costs seconds of CPU a process; a forked child has them at once. The
imports start no thread, open no socket and leave CUDA alone, so that a fork is safe.
"""

import importlib
import importlib.util
import os

HEAVY = (
    "torch",
    "diffusers",
    "transformers",
    "fastapi",
    "uvicorn",
    "httptools",
    "PIL.PngImagePlugin",
    "hadis_server.__main__",
    "hadis_server.similarity",
    # diffusers imports pipelines and models lazily; these are the families it is mostly used with.
    "diffusers.pipelines.stable_diffusion",
    "diffusers.pipelines.stable_diffusion_xl",
    "diffusers.pipelines.stable_diffusion_3",
    "transformers.models.t5.modeling_t5",
    "transformers.models.clip.modeling_clip",
)
OPTIONAL = ("hadis_scenes.discriminators",)
CLASSES = (
    ("diffusers", "StableDiffusionPipeline"),
    ("diffusers", "StableDiffusionXLPipeline"),
    ("diffusers", "StableDiffusion3Pipeline"),
    ("diffusers", "AutoencoderTiny"),
    ("diffusers", "DPMSolverMultistepScheduler"),
    ("transformers", "T5EncoderModel"),
    ("transformers", "CLIPTextModel"),
    ("transformers", "PreTrainedTokenizerFast"),
)


def preload() -> None:
    """Import what a worker needs, without running any of it."""
    # A library that asks for GPUs while it is imported is answered by NVML: the CUDA runtime's own
    # count would leave every forked child without CUDA.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    for module in HEAVY:
        importlib.import_module(module)
    for module, name in CLASSES:
        getattr(importlib.import_module(module), name)
    for module in OPTIONAL:
        if importlib.util.find_spec(module) is not None:
            importlib.import_module(module)
