"""Build and write the diffusers pipelines of the cascade."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from diffusers import StableDiffusionPipeline
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from hadis_scenes import networks, vocabulary

FLOW_SHIFT: Final = 1.5
"""How much of a model's few steps goes to high noise, where objects get their places."""


def tokenizer() -> PreTrainedTokenizerFast:
    """Build the word tokenizer: lower case, words, full stops and commas; all else is dropped."""
    ids = vocabulary.TOKEN_IDS
    words = Tokenizer(models.WordLevel(dict(ids), unk_token=vocabulary.UNKNOWN))
    words.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(r"[^a-z0-9.,]+"), " ")]
    )
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"[.,]"), "isolated")]
    )
    words.post_processor = processors.TemplateProcessing(
        single=f"$A {vocabulary.END}", special_tokens=[(vocabulary.END, ids[vocabulary.END])]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words,
        pad_token=vocabulary.PAD,
        eos_token=vocabulary.END,
        unk_token=vocabulary.UNKNOWN,
        model_max_length=vocabulary.MAX_TOKENS,
        padding_side="right",
        truncation_side="right",
    )


def assemble(denoiser: networks.Denoiser, vae: Any) -> Any:
    """Put the parts of one model into a text-to-image pipeline."""
    pipeline: Any = StableDiffusionPipeline(  # type: ignore[no-untyped-call]
        vae=vae,
        text_encoder=denoiser.text,
        tokenizer=tokenizer(),
        unet=denoiser.unet,
        scheduler=networks.scheduler(FLOW_SHIFT),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def write(denoiser: networks.Denoiser, vae: Any, folder: Path) -> None:
    """Write a complete pipeline as safetensors in half precision."""
    assemble(denoiser, vae).to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
