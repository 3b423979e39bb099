"""The networks of `coverage.py`: of torchvision, timm and transformers, and plain code.

Weights are random and nothing is downloaded. Inputs are as small as the networks take; those of
transformers have two layers of width 64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import plain_networks
import torch
from torch import Tensor, nn

Built = tuple[nn.Module, Any]
"""A network and what it is called with."""


@dataclass(frozen=True)
class Network:
    """A network to try: where it comes from, its name there, and how to build it."""

    source: str
    name: str
    build: Callable[[], Built]


def networks() -> Iterator[Network]:
    """All of them, source by source."""
    for name in CLASSIFIERS.split():
        yield Network("torchvision", name, lambda name=name: _torchvision(name))
    for table in (SEGMENTATION, VIDEO, FLOW):
        for name, shapes in table.items():
            yield Network("torchvision", name, lambda n=name, s=shapes: _torchvision(n, *s))
    for name in DETECTION.split():
        yield Network("torchvision", name, lambda name=name: _detector(name))
    for name in TIMM.split():
        yield Network("timm", name, lambda name=name: _timm(name))
    for name in TRANSFORMERS:
        yield Network("transformers", name, lambda name=name: _transformer(name))
    for name, build in plain_networks.NETWORKS.items():
        yield Network("plain code", name, build)


CLASSIFIERS = """
    alexnet convnext_tiny convnext_small densenet121 densenet161 densenet169 densenet201
    efficientnet_b0 efficientnet_b1 efficientnet_b3 efficientnet_v2_s googlenet inception_v3
    maxvit_t mnasnet0_5 mnasnet1_0 mobilenet_v2 mobilenet_v3_small mobilenet_v3_large regnet_x_400mf
    regnet_y_400mf regnet_y_800mf resnet18 resnet34 resnet50 resnet101 resnext50_32x4d
    wide_resnet50_2 shufflenet_v2_x0_5 shufflenet_v2_x1_0 squeezenet1_0 squeezenet1_1 swin_t
    swin_v2_t vgg11 vgg16_bn vgg19 vit_b_16 vit_b_32
"""
SMALLEST = {"alexnet": 64, "inception_v3": 96, "maxvit_t": 224, "vit_b_16": 224, "vit_b_32": 224}
"""Classifier → side of its images, where 64 pixels are not what it takes."""

IMAGE = (1, 3, 64, 64)
SEGMENTATION = dict.fromkeys(
    (
        *("deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "fcn_resnet50"),
        "lraspp_mobilenet_v3_large",
    ),
    (IMAGE,),
)
VIDEO = {
    "mc3_18": ((1, 3, 8, 32, 32),),
    "r2plus1d_18": ((1, 3, 8, 32, 32),),
    "r3d_18": ((1, 3, 8, 32, 32),),
    "s3d": ((1, 3, 16, 64, 64),),
    "mvit_v2_s": ((1, 3, 16, 224, 224),),
    "swin3d_t": ((1, 3, 4, 64, 64),),
}
FLOW = {"raft_small": ((1, 3, 128, 128),) * 2, "raft_large": ((1, 3, 128, 128),) * 2}
DETECTION = """
    fasterrcnn_mobilenet_v3_large_320_fpn fasterrcnn_resnet50_fpn fcos_resnet50_fpn
    keypointrcnn_resnet50_fpn maskrcnn_resnet50_fpn retinanet_resnet50_fpn ssd300_vgg16
    ssdlite320_mobilenet_v3_large
"""

TIMM = """
    vit_tiny_patch16_224 deit_tiny_patch16_224 deit3_small_patch16_224 beit_base_patch16_224
    cait_xxs24_224 xcit_nano_12_p16_224 eva02_tiny_patch14_224 swin_tiny_patch4_window7_224
    swinv2_tiny_window8_256 levit_128s pvt_v2_b0 twins_svt_small convit_tiny crossvit_tiny_240
    coat_tiny mvitv2_tiny poolformer_s12 poolformerv2_s12 caformer_s18 convformer_s18 mixer_s16_224
    resmlp_12_224 gmlp_s16_224 hiera_tiny_224 volo_d1_224 tnt_s_patch16_224 visformer_tiny nest_tiny
    edgenext_xx_small mobilevit_xxs mobilevitv2_050 efficientvit_b0 efficientvit_m0
    efficientformer_l1 efficientformerv2_s0 fastvit_t8 mobileone_s0 repvit_m0_9 repvgg_a0
    ghostnet_100 ghostnetv2_100 hgnetv2_b0 nf_resnet26 nfnet_f0 eca_nfnet_l0 resnetv2_50
    resnetv2_50x1_bit resnet26d resnet10t resnetrs50 seresnet18 skresnet18 resnest14d
    res2net50_26w_4s ecaresnet26t gcresnext26ts botnet26t_256 halonet26t lambda_resnet26t
    bat_resnext26ts convnext_atto convnextv2_atto convnext_zepto_rms inception_next_atto
    inception_v4 inception_resnet_v2 xception41 dla34 dpn48b hrnet_w18_small vovnet39a
    ese_vovnet19b_dw selecsls42 cspresnet50 cspdarknet53 darknet53 tresnet_m densenetblur121d
    mobilenetv4_conv_small mobilenetv4_hybrid_medium efficientnet_lite0 mixnet_s tinynet_e
    fbnetc_100 spnasnet_100 rexnet_100 regnety_002 regnetz_005 starnet_s1 davit_tiny gcvit_xxtiny
    maxvit_rmlp_pico_rw_256 coatnet_nano_rw_224 tiny_vit_5m_224 sequencer2d_s mambaout_femto
    rdnet_tiny swiftformer_xs shvit_s1 lcnet_050 pit_ti_224 vit_small_patch14_dinov2
    vit_relpos_small_patch16_224 ghostnetv3_050 fasternet_t0 cs3darknet_m gernet_s
"""
TOKENS_64: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
GPT_64: dict[str, Any] = {"vocab_size": 128, "n_embd": 64, "n_layer": 2, "n_head": 4}
D_MODEL_64: dict[str, Any] = {
    "vocab_size": 128,
    "d_model": 64,
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 128),
}
GROUPED: dict[str, Any] = {**TOKENS_64, "num_key_value_heads": 2}
VISION_64: dict[str, Any] = {**TOKENS_64, "image_size": 64, "patch_size": 16}
AUDIO_64: dict[str, Any] = {
    **TOKENS_64,
    "conv_dim": (32, 32, 32),
    "conv_stride": (5, 2, 2),
    "conv_kernel": (10, 3, 3),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "num_feat_extract_layers": 3,
}
WHOLE_TIED = {**GROUPED, "tie_word_embeddings": True}

TRANSFORMERS: dict[str, tuple[str, dict[str, Any]]] = {
    "BertForSequenceClassification": ("tokens", TOKENS_64),
    "RobertaForMaskedLM": ("tokens", TOKENS_64),
    "DistilBertForSequenceClassification": (
        "tokens",
        {"vocab_size": 128, "dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128},
    ),
    "AlbertForSequenceClassification": ("tokens", {**TOKENS_64, "embedding_size": 32}),
    "ElectraForSequenceClassification": ("tokens", {**TOKENS_64, "embedding_size": 32}),
    "DebertaV2ForSequenceClassification": ("tokens", TOKENS_64),
    "MPNetForSequenceClassification": ("tokens", TOKENS_64),
    "FNetForSequenceClassification": ("tokens", TOKENS_64),
    "ModernBertForSequenceClassification": ("tokens", {**TOKENS_64, "pad_token_id": 0}),
    "XLNetForSequenceClassification": (
        "tokens",
        {"vocab_size": 128, "d_model": 64, "n_layer": 2, "n_head": 4, "d_inner": 128},
    ),
    "GPT2LMHeadModel": ("tokens", GPT_64),
    "GPT2ForSequenceClassification": ("tokens", {**GPT_64, "pad_token_id": 0}),
    "GPTNeoForCausalLM": (
        "tokens",
        {
            "vocab_size": 128,
            "hidden_size": 64,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
        },
    ),
    "GPTJForCausalLM": ("tokens", {**GPT_64, "rotary_dim": 8}),
    "GPTNeoXForCausalLM": ("tokens", TOKENS_64),
    "OPTForCausalLM": ("tokens", {**TOKENS_64, "ffn_dim": 128, "word_embed_proj_dim": 64}),
    "BloomForCausalLM": (
        "tokens",
        {"vocab_size": 128, "hidden_size": 64, "n_layer": 2, "n_head": 4},
    ),
    "LlamaForCausalLM": ("tokens", GROUPED),
    "LlamaForCausalLM tied": ("tokens", WHOLE_TIED),
    "MistralForCausalLM": ("tokens", GROUPED),
    "Qwen2ForCausalLM": ("tokens", GROUPED),
    "Qwen3ForCausalLM": ("tokens", {**GROUPED, "head_dim": 16}),
    "Gemma2ForCausalLM": ("tokens", {**GROUPED, "head_dim": 16}),
    "PhiForCausalLM": ("tokens", TOKENS_64),
    "Phi3ForCausalLM": ("tokens", {**GROUPED, "pad_token_id": 0}),
    "MixtralForCausalLM": ("tokens", {**GROUPED, "num_local_experts": 4}),
    "MambaForCausalLM": ("tokens", {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2}),
    "T5ForConditionalGeneration": (
        "both",
        {
            "vocab_size": 128,
            "d_model": 64,
            "d_kv": 16,
            "d_ff": 128,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 0,
        },
    ),
    "BartForConditionalGeneration": ("both", D_MODEL_64),
    "MarianMTModel": ("both", {**D_MODEL_64, "pad_token_id": 0, "decoder_start_token_id": 0}),
    "PegasusForConditionalGeneration": ("both", D_MODEL_64),
    "WhisperForConditionalGeneration": (
        "speech",
        {**D_MODEL_64, "num_mel_bins": 16, "max_source_positions": 32, "pad_token_id": 0},
    ),
    "Wav2Vec2ForSequenceClassification": ("audio", AUDIO_64),
    "HubertForSequenceClassification": ("audio", AUDIO_64),
    "ViTForImageClassification": ("image", VISION_64),
    "DeiTForImageClassification": ("image", VISION_64),
    "BeitForImageClassification": ("image", VISION_64),
    "Dinov2ForImageClassification": ("image", VISION_64),
    "YolosForObjectDetection": ("image", {**VISION_64, "image_size": [64, 64]}),
    "CLIPVisionModel": ("image", VISION_64),
    "SiglipVisionModel": ("image", VISION_64),
    "ViTMAEModel": ("image", VISION_64),
    "SwinForImageClassification": (
        "image",
        {
            "image_size": 32,
            "embed_dim": 32,
            "depths": [1, 1],
            "num_heads": [2, 4],
            "window_size": 4,
        },
    ),
    "SegformerForSemanticSegmentation": ("image", {}),
    "MobileViTForImageClassification": ("image", {"image_size": 64}),
    "ConvNextForImageClassification": ("image", {}),
    "ResNetForImageClassification": ("image", {}),
    "CvtForImageClassification": ("image", {}),
    "PvtForImageClassification": ("image", {"image_size": 64}),
    "GLPNForDepthEstimation": ("image", {}),
    "TimesformerForVideoClassification": ("video", {**VISION_64, "num_frames": 2}),
    "VideoMAEForVideoClassification": ("video", {**VISION_64, "num_frames": 2}),
}
"""Class, and what tells it from others of its class → what it takes, and fields of its config."""


def _torchvision(name: str, *shapes: tuple[int, ...]) -> Built:
    import torchvision

    more: dict[str, Any] = {"weights_backbone": None} if name in SEGMENTATION else {}
    if name in ("googlenet", "inception_v3"):
        more["init_weights"] = False  # which takes a minute
    model = torchvision.models.get_model(name, weights=None, **more)
    side = SMALLEST.get(name, 64)
    return model, tuple(torch.randn(shape) for shape in shapes or [(1, 3, side, side)])


def _detector(name: str) -> Built:
    import torchvision

    sizes = {} if name.startswith("ssd") else {"min_size": 96, "max_size": 96}
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None, **sizes)
    return model, ([torch.rand(3, 96, 96)],)


def _timm(name: str) -> Built:
    import timm

    model = timm.create_model(name, pretrained=False)
    _, *size = model.default_cfg["input_size"]
    free = not model.default_cfg.get("fixed_input_size")
    side = 128 if free and size[0] > 128 else size[0]
    return model, (torch.randn(1, 3, side, side),)


def _transformer(name: str) -> Built:
    import transformers

    kind, fields = TRANSFORMERS[name]
    made: Any = getattr(transformers, name.split()[0])
    config = made.config_class(**fields)
    config.use_cache = False
    return made(config), _inputs(kind)


def _inputs(kind: str) -> dict[str, Tensor]:
    ids = torch.randint(3, 128, (1, 16))
    return {
        "tokens": {"input_ids": ids},
        "both": {"input_ids": ids, "decoder_input_ids": ids[:, :8]},
        "speech": {"input_features": torch.randn(1, 16, 64), "decoder_input_ids": ids},
        "audio": {"input_values": torch.randn(1, 1600)},
        "image": {"pixel_values": torch.randn(1, 3, 64, 64)},
        "video": {"pixel_values": torch.randn(1, 2, 3, 64, 64)},
    }[kind]
