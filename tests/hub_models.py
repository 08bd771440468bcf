"""Backbones of KerasHub, made from their constructors' arguments, as small as they can be."""

from functools import partial

import keras_hub
from keras_hub import models
from keras_hub.src.models.vae.vae_backbone import VAEBackbone  # not public

WORDS = 13
TEXT = {
    "vocabulary_size": WORDS,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 12,
}
QUERIES = {
    "vocabulary_size": WORDS,
    "num_layers": 2,
    "num_query_heads": 2,
    "num_key_value_heads": 1,
    "hidden_dim": 8,
    "intermediate_dim": 12,
}
HEADS = {**QUERIES, "head_dim": 4}
EXPERTS = {"moe_intermediate_dim": 12, "num_experts": 2, "top_k": 1}
PIXELS = {"image_shape": (32, 32, 3)}
PATCHES = {
    "image_shape": (32, 32, 3),
    "patch_size": 16,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 8,
}


def _resnet(filters=(64, 8)):
    rest = [1] * (len(filters) - 1)
    return models.ResNetBackbone(
        input_conv_filters=[4],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=list(filters),
        stackwise_num_blocks=[1, *rest],
        stackwise_num_strides=[1, *(2 * one for one in rest)],
        block_type="bottleneck_block",
        image_shape=(64, 64, 3),
    )


_pyramid = partial(_resnet, (64, 4, 4, 4))


def _mit():
    return models.MiTBackbone(
        layerwise_depths=[1, 1],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        max_drop_path_rate=0.0,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        hidden_dims=[4, 8],
        **PIXELS,
    )


def _efficientnet():
    return models.EfficientNetBackbone(
        stackwise_kernel_sizes=[3, 3, 3],
        stackwise_num_repeats=[1, 1, 1],
        stackwise_input_filters=[8, 8, 8],
        stackwise_output_filters=[8, 8, 8],
        stackwise_expansion_ratios=[1, 2, 2],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.25, 0.25],
        stackwise_strides=[1, 2, 1],
        stackwise_block_types=["v1", "fused", "unfused"],
        stackwise_width_coefficients=[1.0] * 3,
        stackwise_depth_coefficients=[1.0] * 3,
        stackwise_force_input_filters=[0] * 3,
        stackwise_nores_option=[False] * 3,
        input_shape=(32, 32, 3),
    )


def _mobilenet():
    return models.MobileNetBackbone(
        stackwise_expansion=[[8], [16, 16]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[8], [8, 8]],
        stackwise_kernel_size=[[3], [5, 5]],
        stackwise_num_strides=[[2], [1, 1]],
        stackwise_se_ratio=[[None], [0.25, 0.25]],
        stackwise_activation=[["relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1], [2, 2]],
        output_num_filters=16,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=16,
        squeeze_and_excite=0.5,
        input_num_filters=8,
        **PIXELS,
    )


def _mobilenet_v5():
    return models.MobileNetV5Backbone(
        stackwise_block_types=[["er"], ["uir", "mqa"]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[8], [8, 8]],
        stackwise_strides=[[2], [2, 1]],
        stackwise_act_layers=[["relu"], ["relu", "relu"]],
        stackwise_exp_ratios=[[2.0], [2.0, 1.0]],
        stackwise_se_ratios=[[0.0], [0.0, 0.0]],
        stackwise_dw_kernel_sizes=[[0], [5, 3]],
        stackwise_dw_start_kernel_sizes=[[0], [0, 0]],
        stackwise_dw_end_kernel_sizes=[[0], [0, 0]],
        stackwise_exp_kernel_sizes=[[3], [0, 0]],
        stackwise_pw_kernel_sizes=[[1], [0, 0]],
        stackwise_num_heads=[[0], [0, 2]],
        stackwise_key_dims=[[0], [0, 4]],
        stackwise_value_dims=[[0], [0, 4]],
        stackwise_kv_strides=[[0], [0, 1]],
        stackwise_use_cpe=[[False], [False, False]],
        use_msfa=False,
        stem_size=8,
        **PIXELS,
    )


def _csp():
    return models.CSPNetBackbone(
        stem_filters=8,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 1],
        stackwise_strides=[1, 2],
        stackwise_num_filters=[8, 8],
        block_type="dark_block",
        stage_type="dark",
        **PIXELS,
    )


def _hgnet():
    return models.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=8,
        hidden_sizes=[8, 8],
        stem_channels=[3, 4, 8],
        hidden_act="relu",
        use_learnable_affine_block=False,
        stackwise_stage_filters=[(8, 4, 8, 1, 1, 3), (8, 4, 8, 1, 1, 3)],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, True],
        **PIXELS,
    )


def _sam():
    return models.SAMBackbone(
        image_encoder=_vit_det(),
        prompt_encoder=keras_hub.layers.SAMPromptEncoder(
            hidden_size=8,
            image_embedding_size=(2, 2),
            input_image_size=(32, 32),
            mask_in_channels=4,
        ),
        mask_decoder=keras_hub.layers.SAMMaskDecoder(
            num_layers=2,
            hidden_size=8,
            intermediate_dim=12,
            num_heads=2,
            embedding_dim=8,
            num_multimask_outputs=3,
            iou_head_depth=2,
            iou_head_hidden_dim=8,
        ),
    )


def _vit_det():
    return models.ViTDetBackbone(
        hidden_size=8,
        num_layers=2,
        intermediate_dim=16,
        num_heads=2,
        global_attention_layer_indices=[1],
        num_output_channels=8,
        window_size=2,
        **PIXELS,
    )


def _clip_text(kind=models.CLIPTextEncoder, **kwargs):
    return kind(embedding_dim=8, max_sequence_length=6, **{**TEXT, **kwargs})


def _clip_vision(kind=models.CLIPVisionEncoder, **kwargs):
    return kind(intermediate_dim=12, **{**PATCHES, **kwargs})


def _clip():
    return models.CLIPBackbone(_clip_vision(), _clip_text(), projection_dim=8)


def _meta_clip():
    return models.MetaCLIP2Backbone(
        _clip_vision(models.MetaCLIP2VisionEncoder),
        _clip_text(models.MetaCLIP2TextEncoder),
        projection_dim=8,
    )


def _siglip():
    return models.SigLIPBackbone(
        _clip_vision(models.SigLIPVisionEncoder),
        _clip_text(models.SigLIPTextEncoder, projection_dim=8),
    )


def _vae():
    return VAEBackbone([32, 32], [1, 1], [32, 32], [1, 1])


def _stable_diffusion():
    return models.StableDiffusion3Backbone(
        mmdit_patch_size=2,
        mmdit_hidden_dim=8,
        mmdit_num_layers=2,
        mmdit_num_heads=2,
        mmdit_position_size=16,
        mmdit_qk_norm=None,
        mmdit_dual_attention_indices=None,
        vae=VAEBackbone([32] * 4, [1] * 4, [32] * 4, [1] * 4),
        clip_l=_clip_text(intermediate_output_index=0, name="clip_l"),
        clip_g=_clip_text(intermediate_output_index=0, name="clip_g"),
        image_shape=(64, 64, 3),
    )


def _flux():
    return models.FluxBackbone(
        input_channels=4,
        hidden_size=12,
        mlp_ratio=2.0,
        num_heads=2,
        depth=1,
        depth_single_blocks=1,
        axes_dim=[2, 2, 2],
        theta=10,
        use_bias=True,
        image_shape=(6, 4),
        text_shape=(6, 12),
        image_ids_shape=(6, 3),
        text_ids_shape=(6, 3),
        y_shape=(12,),
    )


def _smol():
    return models.SmolLM3Backbone(
        vocabulary_size=WORDS,
        hidden_dim=8,
        intermediate_dim=12,
        num_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        attention_bias=False,
        attention_dropout=0.0,
        rope_layer_enabled_list=[True, False],
        layer_types=["attention"] * 2,
        mlp_bias=False,
        layer_norm_epsilon=1e-5,
        max_position_embeddings=16,
        rope_theta=10000.0,
        partial_rotary_factor=1.0,
    )


def _t5_gemma():
    sides = {
        "hidden_dim": 8,
        "intermediate_dim": 12,
        "num_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 4,
        "layer_types": ["full_attention"],
    }
    both = {
        f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in sides.items()
    }
    return models.T5GemmaBackbone(vocabulary_size=WORDS, **both)


def _moonshine():
    return models.MoonshineBackbone(
        vocabulary_size=WORDS,
        filter_dim=8,
        encoder_num_layers=1,
        decoder_num_layers=1,
        hidden_dim=8,
        intermediate_dim=12,
        encoder_num_heads=2,
        decoder_num_heads=2,
    )


def _parseq():
    return models.PARSeqBackbone(
        image_encoder=models.ViTBackbone(mlp_dim=12, use_class_token=False, **PATCHES),
        vocabulary_size=WORDS,
        max_label_length=5,
        decoder_hidden_dim=8,
        num_decoder_layers=1,
        num_decoder_heads=2,
        decoder_mlp_dim=12,
    )


def _dino(kind, **kwargs):
    return kind(intermediate_dim=12, **{**PATCHES, **kwargs})


def _pali_gemma():
    return models.PaliGemmaBackbone(
        image_size=16,
        vit_patch_size=8,
        vit_num_heads=2,
        vit_hidden_dim=8,
        vit_num_layers=1,
        vit_intermediate_dim=12,
        **HEADS,
    )


def _deeplab():
    return models.DeepLabV3Backbone(
        image_encoder=_pyramid(),
        spatial_pyramid_pooling_key="P5",
        upsampling_size=2,
        dilation_rates=[2],
        low_level_feature_key="P4",
        projection_filters=4,
        image_shape=(64, 64, 3),
    )


# A model by its name: text, images, both, and the parts of generators.
MODELS = {
    "Albert": partial(models.AlbertBackbone, embedding_dim=8, **TEXT),
    "BART": partial(models.BartBackbone, **TEXT),
    "BERT": partial(models.BertBackbone, max_sequence_length=8, **TEXT),
    "Bloom": partial(models.BloomBackbone, **TEXT),
    "DebertaV3": partial(models.DebertaV3Backbone, max_sequence_length=8, bucket_size=4, **TEXT),
    "DistilBERT": partial(models.DistilBertBackbone, max_sequence_length=8, **TEXT),
    "Electra": partial(
        models.ElectraBackbone,
        vocab_size=WORDS,
        embedding_dim=8,
        max_sequence_length=8,
        **{key: value for key, value in TEXT.items() if key != "vocabulary_size"},
    ),
    "ESM": partial(models.ESMBackbone, **TEXT),
    "Falcon": partial(
        models.FalconBackbone,
        num_attention_heads=2,
        **{key: value for key, value in TEXT.items() if key != "num_heads"},
    ),
    "FNet": partial(
        models.FNetBackbone,
        max_sequence_length=8,
        **{key: value for key, value in TEXT.items() if key != "num_heads"},
    ),
    "Gemma": partial(models.GemmaBackbone, **HEADS),
    "Gemma 3": partial(models.Gemma3Backbone, image_size=16, **HEADS),
    "GPT-2": partial(models.GPT2Backbone, max_sequence_length=8, **TEXT),
    "GPT-NeoX": partial(models.GPTNeoXBackbone, rotary_percentage=0.5, **TEXT),
    "GPT-OSS": partial(models.GptOssBackbone, num_experts=2, **QUERIES),
    "Llama": partial(models.LlamaBackbone, **QUERIES),
    "Llama 3": partial(models.Llama3Backbone, **QUERIES),
    "Mistral": partial(models.MistralBackbone, **QUERIES),
    "Mixtral": partial(models.MixtralBackbone, num_experts=2, **QUERIES),
    "Moonshine": _moonshine,
    "OPT": partial(models.OPTBackbone, max_sequence_length=8, **TEXT),
    "Phi-3": partial(models.Phi3Backbone, **QUERIES),
    "Qwen": partial(models.QwenBackbone, **QUERIES),
    "Qwen 3": partial(models.Qwen3Backbone, **HEADS),
    "Qwen 3 MoE": partial(models.Qwen3MoeBackbone, **HEADS, **EXPERTS),
    "Qwen MoE": partial(
        models.QwenMoeBackbone, shared_expert_intermediate_dim=12, **QUERIES, **EXPERTS
    ),
    "RoBERTa": partial(models.RobertaBackbone, max_sequence_length=8, **TEXT),
    "RoFormerV2": partial(models.RoformerV2Backbone, head_size=4, **TEXT),
    "SmolLM3": _smol,
    "T5": partial(models.T5Backbone, **TEXT),
    "T5Gemma": _t5_gemma,
    "Whisper": partial(
        models.WhisperBackbone, max_encoder_sequence_length=8, max_decoder_sequence_length=8, **TEXT
    ),
    "XLM-RoBERTa": partial(models.XLMRobertaBackbone, max_sequence_length=8, **TEXT),
    "XLNet": partial(models.XLNetBackbone, **TEXT),
    "CSPNet": _csp,
    "DeepLabV3": _deeplab,
    "DeiT": partial(models.DeiTBackbone, intermediate_dim=12, **PATCHES),
    "DenseNet": partial(models.DenseNetBackbone, [2, 2], growth_rate=4, **PIXELS),
    "DINOv2": partial(_dino, models.DINOV2Backbone, position_embedding_shape=(32, 32, 3)),
    "DINOv3": partial(_dino, models.DINOV3Backbone),
    "EfficientNet": _efficientnet,
    "HGNetV2": _hgnet,
    "MiT": _mit,
    "MobileNet": _mobilenet,
    "MobileNetV5": _mobilenet_v5,
    "PARSeq": _parseq,
    "ResNet": _resnet,
    "RetinaNet": lambda: models.RetinaNetBackbone(_pyramid(), 3, 5, False, image_shape=(64, 64, 3)),
    "SAM": _sam,
    "SegFormer": lambda: models.SegFormerBackbone(_mit(), projection_filters=8),
    "Swin": partial(
        models.SwinTransformerBackbone,
        (32, 32, 3),
        8,
        depths=[1, 1],
        num_heads=[1, 2],
        window_size=4,
    ),
    "VGG": partial(models.VGGBackbone, [1, 1], [4, 8], **PIXELS),
    "ViT": partial(models.ViTBackbone, mlp_dim=12, **PATCHES),
    "ViTDet": _vit_det,
    "Xception": partial(models.XceptionBackbone, [[4, 8], [8, 8]], [True, False], **PIXELS),
    "CLIP": _clip,
    "MetaCLIP 2": _meta_clip,
    "PaliGemma": _pali_gemma,
    "SigLIP": _siglip,
    "Flux": _flux,
    "Stable Diffusion 3": _stable_diffusion,
    "VAE": _vae,
}
