"""compact(model): a smaller model with the same outputs."""

from typing import Any, NamedTuple

import keras

from keras_reg.compacting.rebuilding import Rebuilding
from keras_reg.compacting.removal import Removal
from keras_reg.compacting.resizing import Sizes, UnfitError
from keras_reg.compacting.survey import Survey, survey_of
from keras_reg.compacting.training import carry_over, check_compiled
from keras_reg.compacting.verifying import DifferentError, check_same
from keras_reg.compacting.weights import Values
from keras_reg.keras_private import layers_in
from keras_reg.structure.channels.graph import is_graph


class Smaller(NamedTuple):
    """A smaller model, and what it follows from.

    Args:
        model: `keras.Model`.
        survey: what was read of the larger model.
        removal: what goes.
        values: what is kept of variables.
        variables: list of pairs. Variables of the larger model, each with what it became.
    """

    model: Any
    survey: Survey
    removal: Removal
    values: Values
    variables: list[tuple[Any, Any]]


def compact(
    model: keras.Model,
    *,
    multiple_of: int = 1,
    keep_optimizer: bool = False,
    verify: Any = True,
) -> keras.Model:
    """Removes the channels that change no output: an ordinary, smaller model.

    A unit, filter, head or state goes if nothing that stays reads it through a weight that is not
    zero, or if its value never changes, in which case it is added to the biases of its readers.
    Whatever goes with it goes too: columns, rows, entries of normalizations, residual branches.
    The outputs are the same up to rounding, which is checked on random inputs.

    This holds at inference. Training goes on from the smaller model as it would have from the
    larger one if what goes had stayed zero there: where it has no gradient, or in `FixedSupport`.
    In other cases zeros could have come back.

    Args:
        model: a built Sequential or Functional model. It is left as it is.
        multiple_of: int >= 1. Numbers of channels are rounded up to multiples of it, with channels
            that could have gone: some hardware is slow at odd sizes.
        keep_optimizer: bool. Whether the smaller model is compiled as the model is, with its loss,
            metrics and optimizer, whose state is cut as the weights are. A penalty of `Proximal` on
            channels acts on those that are left.
        verify: True to compare the outputs on random inputs, inputs to compare them on, or False.

    Returns:
        A `keras.Model` with the same name and names of layers, not compiled without
        `keep_optimizer`.

    Raises:
        ValueError: if the model is not built or has no graph, if one of its layers cannot be made
            again from its config, if the outputs differ, or with `keep_optimizer` if the model is
            not compiled or the state of its optimizer cannot be cut.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="relu")])
        >>> model.add(keras.layers.Dense(2))
        >>> kernel, *others = model.get_weights()
        >>> kernel[:, 1:3] = 0  # Two units are 0 whatever the inputs are.
        >>> model.set_weights([kernel, *others])
        >>> small = compact(model)
        >>> [tuple(weight.shape) for weight in small.weights]
        [(3, 2), (2,), (2, 2), (2,)]
    """
    check(model, multiple_of)
    if keep_optimizer:
        check_compiled(model)
    small = _verified(model, multiple_of, verify)
    if keep_optimizer:
        carry_over(model, small.model, small.values, small.variables)
    return small.model


def _verified(model: Any, multiple_of: int, verify: Any) -> Smaller:
    """The smaller model, once its outputs were compared."""
    if verify is False:
        return built(model, multiple_of, opens=True)
    for opens in (True, False):
        small = built(model, multiple_of, opens)
        try:
            check_same(model, small.model, None if verify is True else verify)
            return small
        except DifferentError as error:
            difference = error  # The code of an opened layer may depend on sizes: leave all as is.
    raise ValueError(f"Expected the same outputs. Received outputs that differ by {difference}")


def check(model: Any, multiple_of: Any) -> None:
    """Raises ValueError for what cannot be made smaller."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected a keras.Model. Received: {type(model).__name__}")
    if not model.built or not is_graph(model):
        raise ValueError(
            "Expected a built Sequential or Functional model. "
            f"Received: {model.name}, of class {type(model).__name__}"
        )
    for layer in layers_in(model):
        if getattr(layer, "quantization_mode", None) is not None:
            raise ValueError(
                f"Expected a model that is not quantized: call `compact` first, then `quantize`. "
                f"Received: {layer.name}, quantized to {layer.quantization_mode}"
            )
        if getattr(layer, "lora_enabled", False):
            raise ValueError(
                "Expected a model without LoRA weights: merge them into the kernels first. "
                f"Received: {layer.name}"
            )
    if not isinstance(multiple_of, int) or multiple_of < 1:
        raise ValueError(
            f"Expected `multiple_of` to be an int >= 1. Received: multiple_of={multiple_of!r}"
        )


def built(model: Any, multiple_of: int, opens: bool) -> Smaller:
    """Builds the smaller model. What a layer cannot do without stays, and all is solved again."""
    survey, run = survey_of(model, opens)
    while True:
        removal = Removal(survey, multiple_of)
        values = Values(survey, removal)
        rebuilding = Rebuilding(Sizes(survey, removal, values))
        try:
            small = rebuilding.model(model, run)
            return Smaller(small, survey, removal, values, rebuilding.variables)
        except UnfitError as unfit:
            survey.keep(unfit.step, unfit.why)
