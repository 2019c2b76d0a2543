"""The discriminator kind `clip`: cosine between the CLIP embeddings of an image and its prompt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel


class ClipSimilarity:
    """CLIPScore without its constant factor: the cosine, negative ones cut off at 0."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        model: Any = CLIPModel.from_pretrained(folder, use_safetensors=True, local_files_only=True)
        self._model: Any = model.to(device).eval().requires_grad_(False)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        processors: Any = AutoImageProcessor
        self._processor = processors.from_pretrained(folder, local_files_only=True, backend="pil")
        self._device = device

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        """Return the cosine of each image with its prompt."""
        words = self._tokenizer(
            list(prompts),
            padding=True,
            truncation=True,
            max_length=self._model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        pixels = self._processor([image.convert("RGB") for image in images], return_tensors="pt")
        with torch.inference_mode():
            answer = self._model(
                input_ids=words["input_ids"].to(self._device),
                attention_mask=words["attention_mask"].to(self._device),
                pixel_values=pixels["pixel_values"].to(self._device),
            )
            cosines = (answer.text_embeds * answer.image_embeds).sum(dim=-1)
        return [float(value) for value in cosines.clamp(0, 1).float().cpu()]


def load(folder: Path, device: torch.device) -> ClipSimilarity:
    """Load a CLIP folder as transformers saves it."""
    return ClipSimilarity(folder, device)
