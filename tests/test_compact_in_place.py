"""compact on layers of a class of their own: their code stays, the layers in them get smaller."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from test_compact import assert_same, inputs_of
from zeroed import zero_channels

import keras_reg as kr
from keras_reg.structure.channels import channels


@keras.saving.register_keras_serializable(package="in_place")
class Block(layers.Layer):
    """A block with a normalization of its own, whose config holds one size for two layers."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = [layers.Dense(units, activation="relu"), layers.Dense(units)]
        self.attention = layers.MultiHeadAttention(2, 3)

    def build(self, shape):
        self.hidden[0].build(shape)
        self.hidden[1].build((*shape[:-1], self.units))
        self.attention.build(shape, shape)
        self.back = layers.Dense(shape[-1])
        self.back.build((*shape[:-1], self.units))
        self.gain = self.add_weight(shape=shape[-1:], initializer="ones", name="gain")

    def call(self, x):
        x = x + self.attention(x, x)
        y = self.hidden[1](ops.tanh(self.hidden[0](x * self.gain)))
        return x + self.back(y)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def network(kind=Block):
    keras.backend.clear_session()
    x = keras.Input((5, 4))
    block = kind(6, name="block")
    model = keras.Model(x, layers.Dense(2, name="out")(block(kind(6, name="other")(x))), name="net")
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    first, second = block.hidden[0].kernel, block.hidden[1].kernel
    first.assign(np.where(np.arange(6) < 4, ops.convert_to_numpy(first), 0))
    second.assign(np.where(np.arange(6) < 1, 0, ops.convert_to_numpy(second)))
    block.hidden[0].bias.assign(np.zeros(6))
    block.hidden[1].bias.assign(np.zeros(6))
    attention = block.attention
    for dense in (attention.query_dense, attention.key_dense, attention.value_dense):
        for weight in dense.weights:
            weight.assign(np.where(np.arange(3) < 2, ops.convert_to_numpy(weight), 0))
    return model


def test_two_sizes_of_one_number(tmp_path):
    model = network()
    small = kr.compact(model)
    block = small.get_layer("block")
    assert isinstance(block, Block)
    assert [layer.units for layer in block.hidden] == [4, 5]
    for dense in (block.attention.key_dense, block.attention.value_dense):
        assert dense.kernel.shape == (4, 2, 2)
    assert block.hidden[0].kernel.path == model.get_layer("block").hidden[0].kernel.path
    x = inputs_of(model)
    assert_same(model, small, x)
    small.compile("sgd", "mse")
    small.fit(x, np.zeros((3, 5, 2)), verbose=0)
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    assert_same(small, loaded, x)
    assert loaded.count_params() == small.count_params() < model.count_params()
    again = kr.compact(loaded)
    assert_same(loaded, again, x)
    assert again.count_params() == small.count_params()
    assert_same(keras.models.clone_model(small), keras.models.clone_model(small), 0 * x)
    if keras.backend.backend() == "torch":
        sizes = {tuple(one.shape) for one in small.parameters()}
        assert sizes == {tuple(weight.shape) for weight in small.weights}


def test_a_class_that_is_not_registered():
    class Plain(Block):
        """Known to nobody."""

    model = network(Plain)
    small = kr.compact(model)
    assert [layer.units for layer in small.get_layer("block").hidden] == [4, 5]
    assert_same(model, small, inputs_of(model))


class Unmade(keras.Model):
    """A model of a class of its own whose config makes no other."""

    def __init__(self, model):
        super().__init__(model.inputs[0], model.outputs[0], name="unmade")

    def get_config(self):
        return {"name": "unmade"}


def test_a_model_that_loses_its_class_says_so():
    model = Unmade(network())
    with pytest.warns(UserWarning, match="became Functional models: unmade, of class Unmade: "):
        small = kr.compact(model)
    assert type(small) is type(network())
    assert [layer.units for layer in small.get_layer("block").hidden] == [4, 5]
    assert_same(model, small, inputs_of(model))
    (note,) = kr.compacting.removable(model).notes
    assert note.startswith("unmade, of class Unmade, becomes Functional: ")


def counting(kind):
    class Counting(kind):
        """A model with a step of its own, as Keras's guides write it."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.steps = 0

        def train_step(self, *args, **kwargs):
            self.steps += 1
            return super().train_step(*args, **kwargs)

    return Counting


@pytest.mark.parametrize("kind", [keras.Sequential, keras.Model], ids=["sequential", "functional"])
def test_a_training_step_stays(kind):
    stack = [keras.Input((4,)), layers.Dense(6, activation="relu"), layers.Dense(2)]
    own = counting(kind)
    model = own(stack) if kind is keras.Sequential else own(stack[0], stack[2](stack[1](stack[0])))
    zero_channels(model, "whole", seed=1)
    model.compile("sgd", "mse")
    small, x = kr.compact(model, keep_optimizer=True), inputs_of(model)
    assert type(small) is own
    assert_same(model, small, x)
    small.fit(x, np.zeros((len(x), 2)), verbose=0)
    assert (small.steps, model.steps) == (1, 0)
    assert small.count_params() < model.count_params()


def test_a_class_that_ignores_its_parts_is_not_kept():
    class Fixed(keras.Sequential):
        """It makes layers of its own, whatever it is given."""

        def __init__(self, *args, **kwargs):
            made = [keras.Input((4,)), layers.Dense(6, name="a"), layers.Dense(2, name="b")]
            super().__init__(made, name="fixed")

    model = Fixed()
    zero_channels(model, "whole")
    with pytest.warns(UserWarning, match="Fixed does not keep what it is made of"):
        small = kr.compact(model)
    assert type(small) is keras.Sequential
    assert_same(model, small, inputs_of(model))


def test_training_goes_on():
    model = network()
    x = inputs_of(model)
    model.get_layer("block").hidden[0].trainable = False
    model.compile("adam", "mse")
    model.fit(x, np.zeros((3, 5, 2)), verbose=0)
    small = kr.compact(model, keep_optimizer=True)
    assert not small.get_layer("block").hidden[0].trainable
    # Iterations and the rate, then two moments of each trainable weight.
    shapes = [tuple(one.shape) for one in small.optimizer.variables][2:]
    assert shapes == [tuple(one.shape) for one in small.trainable_weights for _ in range(2)]
    small.fit(x, np.zeros((3, 5, 2)), verbose=0)


@pytest.mark.once
@pytest.mark.parametrize("name", ["BERT", "Llama", "ViT"])
def test_backbones_lose_their_dead_units(name):
    import hub_models

    keras.backend.clear_session()
    model = hub_models.MODELS[name]()
    inner = channels(model).free().matching(".*(intermediate_dense|dense_1)")
    expected = {part.variable.path: 0 for group in inner for part in group.parts}
    assert len(inner) >= 2
    zero_channels(model, "whole")
    for group in inner:
        made = next(part for part in group.parts if "makes" in part.roles)
        values = np.array(ops.convert_to_numpy(made.variable))
        expected[made.variable.path] = int(np.any(values != 0, axis=0).sum())
    small = kr.compact(model)
    assert isinstance(small, type(model))
    lengths = {weight.path: weight.shape[-1] for weight in small.weights}
    found = {path: lengths[path] for path, length in expected.items() if length}
    assert found == {path: length for path, length in expected.items() if length}


@pytest.mark.once
def test_a_decoder_generates_as_before(tmp_path):
    import hub_models
    from keras_hub import models

    keras.backend.clear_session()
    backbone = hub_models.MODELS["GPT-2"]()
    model = models.GPT2CausalLM(backbone, preprocessor=None)
    zero_channels(model, "whole")
    prompt = {
        "token_ids": np.array([[3, 5, 2, 0, 0, 0, 0, 0]]),
        "padding_mask": np.array([[1, 1, 1, 0, 0, 0, 0, 0]]),
    }
    small = kr.compact(model)
    assert small.count_params() < model.count_params()
    small.save(tmp_path / "small.keras")
    with pytest.warns(UserWarning, match="method is custom"):  # As for any model of KerasHub.
        loaded = keras.saving.load_model(tmp_path / "small.keras")
    answers = []
    for one in (model, small, loaded):
        one.compile(sampler="greedy")
        answers.append(one.generate(prompt, stop_token_ids=None)["token_ids"])
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


@keras.saving.register_keras_serializable(package="in_place")
class Subclassed(keras.Model):
    """A model with a `call` of its own, which adds a loss."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = layers.Dense(units, activation="relu", name="hidden")
        self.out = layers.Dense(2, name="out")

    def call(self, x, training=False):
        y = self.hidden(x)
        self.add_loss(ops.mean(y))
        return self.out(ops.square(y))

    def get_config(self):
        return {"units": self.units}


def subclassed(kind=Subclassed, **kwargs):
    keras.backend.clear_session()
    model = kind(6, name="net", **kwargs)
    model(np.ones((2, 4)))
    kernel = model.hidden.kernel
    kernel.assign(np.where(np.arange(6) % 2, ops.convert_to_numpy(kernel), 0))
    return model


def test_a_subclassed_model_keeps_its_code(tmp_path):
    model = subclassed()
    before = len(model.hidden._inbound_nodes)
    small = kr.compact(model)
    assert isinstance(small, Subclassed)
    assert small.hidden.units == 3
    assert len(model.hidden._inbound_nodes) == before
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    assert_same(model, small, x)
    small.save(tmp_path / "small.keras")
    assert_same(small, keras.saving.load_model(tmp_path / "small.keras"), x)
    model.compile("adam", "mse")
    small = kr.compact(model, keep_optimizer=True)
    small.fit(x, np.zeros((3, 2)), verbose=0)


def test_a_subclassed_model_that_cannot_be_read_is_refused():
    class Numbers(Subclassed):
        """Its code leaves Keras."""

        def call(self, x, training=False):
            if isinstance(x, keras.KerasTensor):
                raise TypeError("expected numbers")
            return super().call(x)

    with pytest.raises(ValueError, match="whose `call` can be read"):
        kr.compact(subclassed(Numbers))
