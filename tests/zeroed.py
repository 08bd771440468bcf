"""Sets random channels of a model to zero, for the tests of `compact`."""

import keras
import numpy as np

from keras_reg.structure.channels import channels

# Which parts of a dead channel are zero: all that makes it, the kernel alone, or what reads it.
PATTERNS = {"whole": {"makes", "carries"}, "kernels": {"makes"}, "rows": {"reads"}}


def zero_channels(model, pattern, share=0.5, seed=0):
    """Zeroes some channels of every group that can be removed, by one of `PATTERNS`."""
    rng = np.random.default_rng(seed)
    for group in channels(model).free():
        zero_some(group, rng.random(group.size) < share, PATTERNS[pattern])


def zero_some(group, dead, roles):
    for part in group.parts:
        if part.roles & roles and "variance" not in part.variable.path:
            values = np.array(keras.ops.convert_to_numpy(part.variable))
            values[(slice(None),) * part.axis + (part.indices[dead].ravel(),)] = 0
            part.variable.assign(values)
