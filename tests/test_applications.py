"""Every figure on models of keras.applications, against NumPy, and published multiply-adds.

XLA takes long to compile a count of models of this size. So PyTorch counts nine, and the other
backends none; KERAS_REG_APPLICATIONS=1 counts ten on any.
"""

import os

import keras
import numpy as np
import pytest
from keras import layers

from keras_reg.report.sparsity import sparsity

TEN = [
    *("MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ResNet50", "VGG16"),
    *("DenseNet121", "InceptionV3", "Xception", "ResNet50V2", "ConvNeXtTiny"),
]
IS_ASKED = os.environ.get("KERAS_REG_APPLICATIONS") == "1"
# All but the 138 million weights of VGG16, which take as long as the other nine.
NINE = [name for name in TEN if name != "VGG16"]
COUNTED = TEN if IS_ASKED else NINE if keras.backend.backend() == "torch" else []

# Multiply-adds for one image of 224 x 224, in units of 1e9. MobileNetV2: Sandler et al. 2018, table
# 4, 300 M. The others: torchvision's table of models, but ResNet50, whose first version has its
# strides in the 1 x 1 convolutions as in He et al. 2016, and 3.86 in the Netscope analysis of it;
# torchvision moved the strides, which gives 4.09.
PUBLISHED = {"MobileNetV2": 0.300, "EfficientNetB0": 0.386, "ResNet50": 3.86, "VGG16": 15.47}


def build(name):
    keras.backend.clear_session()
    # MobileNetV3 takes images of any size, whose multiply-adds are not known.
    size = {"input_shape": (224, 224, 3)} if "V3Small" in name else {}
    return getattr(keras.applications, name)(weights=None, **size)


def zero_tenth(model):
    """Zeroes a tenth of the filters of every convolution, and the same biases."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if type(layer) is layers.Conv2D:
            values = layer.get_weights()
            count = values[0].shape[-1]
            gone = random.choice(count, count // 10, replace=False)
            for value in values:
                value[..., gone] = 0
            layer.set_weights(values)


def groups_that_are_zero(w, axes):
    others = tuple(axis for axis in range(w.ndim) if axis not in axes)
    return np.all(w == 0, axis=others)


def compliance(w, n, m):
    """Share of blocks of m inputs with at most n that are not zero."""
    blocks = np.moveaxis(w, -2, -1).reshape(-1, m)
    return np.mean(np.count_nonzero(blocks, axis=1) <= n)


def assert_row(row, w, is_depthwise):
    inputs = groups_that_are_zero(w, (w.ndim - 2,))
    outputs = groups_that_are_zero(w, (w.ndim - 2, w.ndim - 1) if is_depthwise else (w.ndim - 1,))
    size = np.abs(w)
    assert row.zeros == np.count_nonzero(w == 0)
    assert row.near_zeros == np.count_nonzero((size <= np.float32(0.01) * size.max()) & (w != 0))
    assert (row.zero_inputs, row.zero_outputs) == (inputs.sum(), outputs.sum())
    rest = w.size // (outputs.size * (1 if is_depthwise else inputs.size))
    alive = (~outputs).sum() * (1 if is_depthwise else (~inputs).sum())
    assert row.left == rest * alive
    for pattern in ((1, 4), (2, 4), (4, 8)):
        share = row.compliance.get("{}:{}".format(*pattern))
        if is_depthwise or w.shape[-2] % pattern[1]:
            assert share is None
        else:
            assert share == pytest.approx(compliance(w, *pattern), abs=1e-12)


def dead_units_by_numpy(model):
    """Zero columns whose bias is zero too, and whose scale is if a normalization follows alone."""
    dead = 0
    for layer in model.layers:
        if isinstance(layer, (layers.Dense, layers.Conv2D, layers.DepthwiseConv2D)):
            values = layer.get_weights()
            kernel = values[0]
            count = layer.units if isinstance(layer, layers.Dense) else layer.output.shape[-1]
            column = ~np.any(kernel.reshape(-1, count), axis=0)
            dead += int(np.sum(column & (values[1] == 0 if len(values) > 1 else True)))
    return dead


@pytest.mark.parametrize("name", COUNTED)
def test_every_figure_is_numpys(name):
    model = build(name)
    # The starting scale 1 of a normalization keeps every unit alive; this shows the columns.
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization) and layer.scale:
            layer.gamma.assign(np.zeros(layer.gamma.shape))
    if name == "MobileNetV2":
        zero_tenth(model)
    table = sparsity(model, tolerance=0.01)
    by_path, depthwise = {}, set()
    for layer in [inner for outer in model.layers for inner in outer._flatten_layers()]:
        for variable in layer.weights:
            by_path[variable.path] = keras.ops.convert_to_numpy(variable)
            if isinstance(layer, layers.DepthwiseConv2D) or "depthwise" in variable.name:
                depthwise.add(variable.path)
    kernels = [path for path, w in by_path.items() if w.ndim >= 2]
    assert {row.path for row in table} == set(kernels)
    for row in table:
        assert_row(row, by_path[row.path], row.path in depthwise)
    assert table.parameters == model.count_params()
    assert table.size == sum(by_path[path].size for path in kernels)
    assert (table.group_sparsity > 0) == (name == "MobileNetV2")
    if not any(isinstance(layer, layers.SeparableConv2D) for layer in model.layers):
        assert table.dead_units == dead_units_by_numpy(model)
    if name in PUBLISHED:
        assert table.macs == pytest.approx(1e9 * PUBLISHED[name], rel=0.01)
    assert table.macs is not None
