"""compact(model): a smaller model with the same outputs."""

import warnings
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


class Options(NamedTuple):
    """What `compact` was asked for, see there."""

    multiple_of: int = 1
    low_rank: bool = False
    exact_norms: bool = False


class Smaller(NamedTuple):
    """A smaller model, and what it follows from.

    Args:
        model: `keras.Model`.
        survey: what was read of the larger model.
        removal: what goes.
        values: what is kept of variables.
        variables: list of pairs. Variables of the larger model, each with what it became.
        split: dict from the paths of kernels of which two were made to the shapes of these.
        places: dict from the ids of its kernels that are less exact to units in the last place.
        classes: dict from models that lost their class to the error of it, if that is why.
        compared: dict from the names of the outputs that were compared to the largest difference.
    """

    model: Any
    survey: Survey
    removal: Removal
    values: Values
    variables: list[tuple[Any, Any]]
    split: dict[str, tuple[tuple[int, ...], ...]]
    places: dict[int, int]
    classes: dict[str, str | None]
    compared: dict[str, float]


def compact(
    model: keras.Model,
    *,
    multiple_of: int = 1,
    low_rank: bool = False,
    exact_norms: bool = False,
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
        model: a built model. It is left as it is.
        multiple_of: int >= 1. Numbers of channels are rounded up to multiples of it, with channels
            that could have gone: some hardware is slow at odd sizes.
        low_rank: bool. Whether a Dense layer, a 1x1 convolution or an embedding whose kernel has a
            small rank, as `NuclearNorm` leaves it, becomes two layers where that is smaller. The
            new one is named as the layer, with `_low_rank` at the end. A layer whose kernel has a
            regularizer or a constraint, or is another layer's too, stays one.
        exact_norms: bool. Whether constant channels go that LayerNormalization or RMSNormalization
            takes the mean over. The former becomes a `keras_reg.layers.PartialLayerNormalization`,
            which `import keras_reg` lets Keras load; the latter gets another gain and epsilon.
        keep_optimizer: bool. Whether the smaller model is compiled as the model is, with its loss,
            metrics and optimizer, whose state is cut as the weights are. A penalty of `Proximal` on
            channels acts on those that are left.
        verify: True to compare the outputs on random inputs, inputs to compare them on, or False.

    Returns:
        A `keras.Model` with the same name and names of layers, not compiled without
        `keep_optimizer`.

    Raises:
        ValueError: if the model is not built or cannot be read, if one of its layers cannot be made
            again from its config, or if the outputs differ. With `keep_optimizer` if the model is
            not compiled, if the state of its optimizer cannot be cut, or with `low_rank`.

    Warns: if a model of a class of its own becomes a Functional one since its config fails.

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
    options = Options(multiple_of, low_rank, exact_norms)
    check(model, options)
    if keep_optimizer:
        check_compiled(model)
        if low_rank:
            raise ValueError(
                "Expected `low_rank` or `keep_optimizer`: the state of an optimizer cannot be "
                "split as kernels are. Received: both"
            )
    small = verified(model, options, verify)
    if keep_optimizer:
        carry_over(model, small.model, small.values, small.variables)
    _warn_of_classes(small.classes)
    return small.model


def _warn_of_classes(classes: dict[str, str | None]) -> None:
    """Warns of models that could not be made of their class."""
    failed = [f"{model}: {why}" for model, why in classes.items() if why is not None]
    if failed:
        warnings.warn(
            "Expected models that can be made again from their configs. These became Functional "
            f"models: {'; '.join(failed)}",
            stacklevel=3,
        )


def verified(model: Any, options: Options, verify: Any) -> Smaller:
    """The smaller model, once its outputs were compared."""
    if verify is False:
        return built(model, options, opens=True)
    for opens in (True, False) if is_graph(model) else (True,):
        small = built(model, options, opens)
        try:
            given = None if verify is True else verify
            compared = check_same(model, small.model, given, small.places)
            return small._replace(compared=compared)
        except DifferentError as error:
            difference = error  # The code of an opened layer may depend on sizes: leave all as is.
    raise ValueError(f"Expected the same outputs. Received outputs that differ: {difference}")


def check(model: Any, options: Options) -> None:
    """Raises ValueError for what cannot be made smaller."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected a keras.Model. Received: {type(model).__name__}")
    if not model.built:
        raise ValueError(
            f"Expected a built model. Received: {model.name}, of class {type(model).__name__}"
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
    multiple_of = options.multiple_of
    if not isinstance(multiple_of, int) or multiple_of < 1:
        raise ValueError(
            f"Expected `multiple_of` to be an int >= 1. Received: multiple_of={multiple_of!r}"
        )


def built(model: Any, options: Options, opens: bool) -> Smaller:
    """Builds the smaller model. What a layer cannot do without stays, and all is solved again."""
    survey, run = survey_of(model, opens, options.exact_norms)
    while True:
        removal = Removal(survey, options.multiple_of)
        values = Values(survey, removal)
        splits = options.multiple_of if options.low_rank else None
        rebuilding = Rebuilding(Sizes(survey, removal, values), splits)
        try:
            small = rebuilding.model(model, run)
        except UnfitError as unfit:
            survey.keep(unfit.step, unfit.why)
        else:
            kernels = rebuilding.split, rebuilding.places
            pairs, classes = rebuilding.variables, rebuilding.classes
            return Smaller(small, survey, removal, values, pairs, *kernels, classes, {})
