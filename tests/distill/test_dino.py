"""A graph with a DINOv2 backbone becomes tensors with timm's names."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
import timm
import torch
from onnx import helper, numpy_helper

from understudy import InputError
from understudy.distill.dino import convert


def graph_of(state: dict[str, torch.Tensor], leave_out: str = "") -> bytes:
    """Graph that holds a network of timm as the export of a ``transformers`` DINOv2 does, with a head."""
    arrays = {key: value.detach().numpy() for key, value in state.items()}
    position = arrays.pop("pos_embed")
    begin = "backbone.embeddings."
    held = {
        begin + "cls_token": arrays["cls_token"],
        begin + "patch_embeddings.projection.weight": arrays["patch_embed.proj.weight"],
        begin + "patch_embeddings.projection.bias": arrays["patch_embed.proj.bias"],
        "onnx::Concat_1": position[:, 1:],
        "onnx::Concat_2": position[:, :1],
        "backbone.layernorm.weight": arrays["norm.weight"],
        "backbone.layernorm.bias": arrays["norm.bias"],
        "head.weight": np.ones((1, 7), np.float32),
    }
    nodes = [helper.make_node("Relu", ["x"], ["y"], name="/head/Relu")]

    def linear(layer: str, weight: np.ndarray) -> None:
        held[f"onnx::MatMul_{len(nodes)}"] = weight.T
        nodes.append(
            helper.make_node("MatMul", ["x", f"onnx::MatMul_{len(nodes)}"], [layer], name=f"{layer}/MatMul")
        )

    for i in range(sum("norm1.weight" in key for key in arrays)):
        ours, theirs = f"blocks.{i}.", f"backbone.encoder.layer.{i}."
        at = f"/backbone/encoder/layer.{i}/"
        parts = zip(
            ("query", "key", "value"),
            np.split(arrays[f"{ours}attn.qkv.weight"], 3),
            np.split(arrays[f"{ours}attn.qkv.bias"], 3),
            strict=True,
        )
        for part, weight, bias in parts:
            linear(f"{at}attention/attention/{part}", weight)
            held[f"{theirs}attention.attention.{part}.bias"] = bias
        linear(f"{at}attention/output/dense", arrays[f"{ours}attn.proj.weight"])
        held[f"{theirs}attention.output.dense.bias"] = arrays[f"{ours}attn.proj.bias"]
        for k in (1, 2):
            linear(f"{at}mlp/fc{k}", arrays[f"{ours}mlp.fc{k}.weight"])
            held[f"{theirs}mlp.fc{k}.bias"] = arrays[f"{ours}mlp.fc{k}.bias"]
            held[f"{theirs}layer_scale{k}.lambda1"] = arrays[f"{ours}ls{k}.gamma"]
            for part in ("weight", "bias"):
                held[f"{theirs}norm{k}.{part}"] = arrays[f"{ours}norm{k}.{part}"]
    constants = [
        numpy_helper.from_array(np.ascontiguousarray(value), key)
        for key, value in held.items()
        if key != leave_out
    ]
    graph = helper.make_graph(nodes, "saliency", [], [], constants)
    return helper.make_model(graph).SerializeToString()


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """Tensors of a tiny network, all of them different."""
    network = timm.create_model("tiny_dinov2", depth=2, reg_tokens=0, no_embed_class=False, num_classes=0)
    return {key: torch.randn_like(value) for key, value in network.state_dict().items()}


def test_every_tensor_of_the_backbone_has_timms_name_and_its_own_values(
    state: dict[str, torch.Tensor],
) -> None:
    found = convert(graph_of(state), "tiny")
    assert found.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(found[key], value), key


def test_a_graph_without_such_a_backbone_is_one_sentence(state: dict[str, torch.Tensor]) -> None:
    for content in (
        b"no graph",
        onnx.ModelProto().SerializeToString(),
        graph_of(state, leave_out="backbone.encoder.layer.1.mlp.fc1.bias"),
        graph_of(state, leave_out="onnx::Concat_1"),
    ):
        with pytest.raises(InputError, match=r"the graph of tiny holds no backbone .*--teacher-weights FILE"):
            convert(content, "tiny")


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"the embedded teacher tiny needs .*understudy\[train\]"):
        convert(b"", "tiny")
