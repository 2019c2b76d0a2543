"""Complete diffusers pipelines with random weights, small enough for tests: SD, SDXL, SD3, CLIP.

The weights are drawn from a fixed seed and scaled up so that prompts and seeds visibly change the
picture; an untrained network with default scales answers almost the same for every prompt.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import CLIPConfig as JointConfig
from transformers import (
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)
from transformers import CLIPTextConfig as TextConfig

SIZE = 32
COLOURS_AND_SHAPES = ("red", "green", "blue", "yellow", "circle", "square", "triangle", "cross")
RELATIONS = ("above", "below", "left", "right", "of", "and", "to", "is", "on", "with")
KNOWN_WORDS = (*COLOURS_AND_SHAPES, *RELATIONS, "a", "an", "the", "small", "large", "two", "three")
TOKENS = 16
WIDTH = 32
SCALE = 1.7


def save_stable_diffusion(folder: Path, *, seed: int = 0) -> Path:
    """Write a StableDiffusionPipeline with a word-level tokenizer that knows KNOWN_WORDS."""
    torch.manual_seed(seed)
    _save(
        StableDiffusionPipeline(
            vae=_vae(4),
            text_encoder=_lively(CLIPTextModel(_text_config(WIDTH))),
            tokenizer=_word_tokenizer(),
            unet=_unet(WIDTH),
            scheduler=DPMSolverMultistepScheduler(
                prediction_type="flow_prediction",
                use_flow_sigmas=True,
                flow_shift=1.0,
                steps_offset=1,
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ),
        folder,
    )
    return folder


def save_stable_diffusion_xl(folder: Path, *, seed: int = 0) -> Path:
    """Write a StableDiffusionXLPipeline with byte-level tokenizers, which know every word."""
    torch.manual_seed(seed)
    tokenizer = _byte_tokenizer()
    config = _text_config(WIDTH, vocabulary=len(tokenizer), projection=WIDTH, act="gelu")
    _save(
        StableDiffusionXLPipeline(
            vae=_vae(4),
            text_encoder=_lively(CLIPTextModel(config)),
            text_encoder_2=_lively(CLIPTextModelWithProjection(config)),
            tokenizer=tokenizer,
            tokenizer_2=_byte_tokenizer(),
            unet=_unet(
                2 * WIDTH,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=WIDTH + 6 * 8,
            ),
            scheduler=EulerDiscreteScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
            ),
            force_zeros_for_empty_prompt=True,
        ),
        folder,
    )
    return folder


def save_stable_diffusion_3(folder: Path, *, seed: int = 0) -> Path:
    """Write a StableDiffusion3Pipeline: two CLIP encoders and a T5 that reads further than they."""
    torch.manual_seed(seed)
    byte = _byte_tokenizer()
    config = _text_config(WIDTH, vocabulary=len(byte), projection=WIDTH)
    _save(
        StableDiffusion3Pipeline(
            transformer=_lively(
                SD3Transformer2DModel(
                    sample_size=SIZE // 2,
                    patch_size=2,
                    in_channels=4,
                    out_channels=4,
                    num_layers=2,
                    attention_head_dim=8,
                    num_attention_heads=4,
                    joint_attention_dim=2 * WIDTH,
                    caption_projection_dim=32,
                    pooled_projection_dim=2 * WIDTH,
                )
            ),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=_vae(4, shift_factor=0.06),
            text_encoder=_lively(CLIPTextModelWithProjection(config)),
            tokenizer=byte,
            text_encoder_2=_lively(CLIPTextModelWithProjection(config)),
            tokenizer_2=_byte_tokenizer(),
            text_encoder_3=_lively(
                T5EncoderModel(
                    T5Config(
                        vocab_size=len(KNOWN_WORDS) + 4,
                        d_model=2 * WIDTH,
                        d_kv=8,
                        d_ff=64,
                        num_layers=1,
                        num_heads=4,
                    )
                )
            ),
            tokenizer_3=_word_tokenizer(max_length=512),
        ),
        folder,
    )
    return folder


def save_clip(folder: Path, *, seed: int = 0) -> Path:
    """Write a CLIPModel with its tokenizer and image processor."""
    torch.manual_seed(seed)
    tokenizer = _byte_tokenizer()
    config = JointConfig(
        text_config=_text_config(WIDTH, vocabulary=len(tokenizer)).to_dict(),
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": SIZE,
            "patch_size": 8,
        },
        projection_dim=16,
    )
    CLIPModel(config).eval().save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}
    ).save_pretrained(folder)
    return folder


def _save(pipeline: DiffusionPipeline, folder: Path) -> None:
    pipeline.save_pretrained(folder, safe_serialization=True)


def _lively(module: Any) -> Any:
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(SCALE)
    return module.eval()


def _unet(cross: int, **kwargs: Any) -> UNet2DConditionModel:
    return _lively(
        UNet2DConditionModel(
            sample_size=SIZE // 2,
            in_channels=4,
            out_channels=4,
            block_out_channels=(16,),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("CrossAttnDownBlock2D",),
            mid_block_type=None,
            up_block_types=("CrossAttnUpBlock2D",),
            cross_attention_dim=cross,
            attention_head_dim=4,
            **kwargs,
        )
    )


def _vae(latent_channels: int, **kwargs: Any) -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=latent_channels,
        sample_size=SIZE,
        **kwargs,
    ).eval()


def _text_config(
    width: int,
    *,
    vocabulary: int = len(KNOWN_WORDS) + 4,
    projection: int = 16,
    act: str = "quick_gelu",
) -> TextConfig:
    return TextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        projection_dim=projection,
        hidden_act=act,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )


def _word_tokenizer(*, max_length: int = TOKENS) -> PreTrainedTokenizerFast:
    vocabulary = {word: index + 2 for index, word in enumerate(KNOWN_WORDS)}
    vocabulary |= {"[PAD]": 0, "[UNK]": 1}
    vocabulary |= {"[BOS]": len(vocabulary), "[EOS]": len(vocabulary) + 1}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[BOS] $A [EOS]",
        special_tokens=[("[BOS]", vocabulary["[BOS]"]), ("[EOS]", vocabulary["[EOS]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        bos_token="[BOS]",
        eos_token="[EOS]",
        model_max_length=max_length,
    )


def _byte_tokenizer() -> CLIPTokenizer:
    # Every byte, alone and at the end of a word: the alphabet that CLIP's merges build on.
    letters = [chr(code) for code in range(33, 127)]
    symbols = letters + [f"{letter}</w>" for letter in letters]
    vocabulary = {symbol: index for index, symbol in enumerate(symbols)}
    vocabulary |= {"<|startoftext|>": len(symbols), "<|endoftext|>": len(symbols) + 1}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS)
