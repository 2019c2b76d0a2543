"""The shapes of the networks, built from diffusers and transformers classes alone."""

from __future__ import annotations

from typing import Any, Final

import torch
from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import nn
from transformers import T5Config, T5EncoderModel

from hadis_scenes import vocabulary

LATENT_SIDE: Final = 16
LATENT_CHANNELS: Final = 4
TEXT_WIDTH: Final = 128
SIGMA_STEPS: Final = 1000


def autoencoder() -> Any:
    """Build the autoencoder: 64 x 64 pixels to 16 x 16 latents of 4 channels."""
    return AutoencoderTiny(  # type: ignore[no-untyped-call]
        in_channels=3,
        out_channels=3,
        encoder_block_out_channels=(32, 32, 32),
        decoder_block_out_channels=(32, 32, 32),
        num_encoder_blocks=(1, 2, 2),
        num_decoder_blocks=(2, 2, 1),
        latent_channels=LATENT_CHANNELS,
    )


def text_encoder() -> Any:
    """Build the text encoder: bidirectional, so that a noun reads the relation behind it."""
    config = T5Config(
        vocab_size=len(vocabulary.TOKENS),
        d_model=TEXT_WIDTH,
        num_layers=3,
        num_heads=4,
        d_kv=32,
        d_ff=384,
        feed_forward_proj="gelu",
        dropout_rate=0.0,
        pad_token_id=vocabulary.TOKEN_IDS[vocabulary.PAD],
        eos_token_id=vocabulary.TOKEN_IDS[vocabulary.END],
    )
    # The pipeline reads this: padding must not change what a word means.
    config.update({"use_attention_mask": True})
    return T5EncoderModel(config)


def unet() -> Any:
    """Build the denoiser, which attends at both of its resolutions."""
    return UNet2DConditionModel(  # type: ignore[no-untyped-call]
        sample_size=LATENT_SIDE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(64, 128),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(2, 4),  # diffusers reads the number of heads here
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )


def scheduler(flow_shift: float) -> Any:
    """Build the sampler: second-order multistep on a straight flow from noise to image."""
    return DPMSolverMultistepScheduler(  # type: ignore[no-untyped-call]
        num_train_timesteps=SIGMA_STEPS,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=flow_shift,
        steps_offset=1,  # unused by flow sigmas; the pipeline warns of other values
    )


class Denoiser(nn.Module):
    """A denoiser with its own text encoder: what one training run optimises."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = unet()
        self.text = text_encoder()

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Encode padded token ids; the denoiser sees every position, as in the pipeline."""
        result: torch.Tensor = self.text(
            input_ids=tokens, attention_mask=(tokens > 0).long()
        ).last_hidden_state
        return result

    def forward(
        self, noisy: torch.Tensor, sigma: torch.Tensor, embedded: torch.Tensor
    ) -> torch.Tensor:
        """Predict the velocity from image to noise."""
        result: torch.Tensor = self.unet(
            noisy, sigma * SIGMA_STEPS, encoder_hidden_states=embedded, return_dict=False
        )[0]
        return result


def channels_last(module: Any) -> Any:
    """Lay a network's weights out as its convolutions like them best."""
    module.to(memory_format=torch.channels_last)
    return module


class PlainAttention:
    """Attention by plain matrix products: on a CPU its backward pass takes half the fused one's."""

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,  # noqa: ARG002
        **_: Any,
    ) -> torch.Tensor:
        """Attend without masks, which none of these networks uses."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        rows, length, width = hidden_states.shape

        def heads(x: torch.Tensor) -> torch.Tensor:
            return x.view(rows, -1, attn.heads, x.shape[-1] // attn.heads).transpose(1, 2)

        query, key, value = (
            heads(x) for x in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        mixed = weights.float().softmax(-1).to(value.dtype) @ value
        result: torch.Tensor = attn.to_out[0](mixed.transpose(1, 2).reshape(rows, length, width))
        return result


def encode_tokens(texts: list[str]) -> torch.Tensor:
    """Return padded token ids, as the shipped tokenizer does."""
    ids = torch.zeros(len(texts), vocabulary.MAX_TOKENS, dtype=torch.long)
    unknown = vocabulary.TOKEN_IDS[vocabulary.UNKNOWN]
    for row, text in enumerate(texts):
        words = vocabulary.split_words(text)[: vocabulary.MAX_TOKENS - 1]
        numbers = [vocabulary.TOKEN_IDS.get(word, unknown) for word in words]
        numbers.append(vocabulary.TOKEN_IDS[vocabulary.END])
        ids[row, : len(numbers)] = torch.tensor(numbers)
    return ids
