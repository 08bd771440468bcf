"""compact on small graphs drawn at random: the same outputs, and a model like any other."""

import keras
import numpy as np
import pytest
from compact_models import inputs_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops
from test_compact import assert_same
from zeroed import PATTERNS, zero_some

import keras_reg as kr
from keras_reg.structure.channels import channels

# Each takes two tensors of (height, width, channels); most use the first alone.
STEPS = {
    "convolution": lambda x, y, n: layers.Conv2D(n, 3, padding="same", activation="tanh")(x),
    "valid": lambda x, y, n: layers.ZeroPadding2D()(layers.Conv2D(n, 3, activation="relu")(x)),
    "pointwise": lambda x, y, n: layers.Conv2D(n, 1, use_bias=False)(x),
    "depthwise": lambda x, y, n: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x),
    "separable": lambda x, y, n: layers.SeparableConv2D(n, 3, padding="same")(x),
    "transposed": lambda x, y, n: layers.Conv2DTranspose(n, 3, padding="same")(x),
    "grouped": lambda x, y, n: layers.Conv2D(6, 1, groups=2)(layers.Conv2D(4, 1)(x)),
    "batch": lambda x, y, n: layers.BatchNormalization()(x),
    "layer": lambda x, y, n: layers.LayerNormalization()(x),
    "pooling": lambda x, y, n: layers.AveragePooling2D(2, strides=1, padding="same")(x),
    "prelu": lambda x, y, n: layers.PReLU(shared_axes=[1, 2])(x),
    "gate": lambda x, y, n: x * layers.Dense(x.shape[-1], "sigmoid")(ops.mean(x, (1, 2), True)),
    "sum": lambda x, y, n: layers.Add()([layers.Conv2D(y.shape[-1], 1)(x), y]),
    "concatenate": lambda x, y, n: layers.Concatenate()([x, y]),
    "flip": lambda x, y, n: ops.flip(x, axis=-1),
}


PLANS = st.fixed_dictionaries(
    {
        # A step, and which of the tensors before it takes, counted from the last.
        "steps": st.lists(
            st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 3), st.integers(0, 3)),
            min_size=1,
            max_size=6,
        ),
        "filters": st.integers(1, 5),
        "seed": st.integers(0, 99),
        "roles": st.lists(st.sampled_from(sorted(PATTERNS)), min_size=3, max_size=3),
        "share": st.sampled_from([0.0, 0.5, 1.0]),
    }
)


def made(plan):
    """A model with every weight drawn, some of them zero, as channels die."""
    keras.backend.clear_session()
    x = keras.Input((5, 5, 2))
    tensors = [layers.Conv2D(4, 1, activation="sigmoid")(x)]
    for name, *places in plan["steps"]:
        first, second = (tensors[-1 - place % len(tensors)] for place in places)
        tensors.append(STEPS[name](first, second, plan["filters"]))
    y = layers.GlobalMaxPooling2D()(tensors[-1])
    model = keras.Model(x, [layers.Dense(2)(y), layers.Dense(1)(layers.Flatten()(tensors[0]))])
    rng = np.random.default_rng(plan["seed"])
    for weight in model.weights:
        low = 0.5 if "variance" in weight.path else -1.0
        weight.assign(rng.uniform(low, 1.5, weight.shape))
    for number, group in enumerate(channels(model).free()):
        roles = PATTERNS[plan["roles"][number % len(plan["roles"])]]
        zero_some(group, rng.random(group.size) < plan["share"], roles)
    return model


OPTIONS = st.fixed_dictionaries(
    {"multiple_of": st.integers(1, 3), "exact_norms": st.booleans(), "low_rank": st.booleans()}
)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="compiles for every example")
@settings(suppress_health_check=list(HealthCheck))
@given(PLANS, OPTIONS)
def test_graphs_have_the_same_outputs(plan, options):
    model = made(plan)
    small = kr.compact(model, **options)
    assert_same(model, small, inputs_of(model))
    small.compile("sgd", "mse")
    small.train_on_batch(inputs_of(model), [np.zeros((3, 2)), np.zeros((3, 1))])
    assert small.count_params() <= model.count_params()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a format of TensorFlow")
@settings(max_examples=2, suppress_health_check=list(HealthCheck))
@given(plan=PLANS)
def test_graphs_are_exported(tmp_path_factory, plan):
    model, folder = made(plan), tmp_path_factory.mktemp("exported")
    small, x = kr.compact(model), inputs_of(model)
    small.export(folder, verbose=False)
    served = keras.layers.TFSMLayer(folder, call_endpoint="serve")
    for one, other in zip(small(x), keras.tree.flatten(served(x)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
