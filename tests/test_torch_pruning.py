"""Channel groups against the dependency groups of Torch-Pruning, for the same nets in both."""

import keras
import pytest
from keras import layers

from keras_reg.structure.channels import channels

if keras.backend.backend() != "torch":
    pytest.skip("one backend is enough", allow_module_level=True)

pytest.importorskip("torch_pruning")

import torch
import torch_pruning


def resnet50(net, x):
    x = net.relu(net.norm("stem_norm", net.conv("stem", x, 8, 3)))
    for stage, (blocks, width) in enumerate(zip((3, 4, 6, 3), (2, 4, 6, 8), strict=True)):
        for block in range(blocks):
            name, shortcut = f"s{stage}b{block}", x
            if block == 0:
                shortcut = net.norm(f"{name}_0n", net.conv(f"{name}_0", x, 4 * width, 1))
            y = net.relu(net.norm(f"{name}_1n", net.conv(f"{name}_1", x, width, 1)))
            y = net.relu(net.norm(f"{name}_2n", net.conv(f"{name}_2", y, width, 3)))
            y = net.norm(f"{name}_3n", net.conv(f"{name}_3", y, 4 * width, 1))
            x = net.relu(net.add(shortcut, y))
    return net.dense("out", net.mean(x), 5)


def mobilenet_v2(net, x):
    x, width = net.relu(net.norm("stem_norm", net.conv("stem", x, 8, 3))), 8
    for stage, (blocks, wider) in enumerate(((1, 4), (2, 6), (3, 8), (4, 10), (3, 12), (3, 14))):
        for block in range(blocks):
            name = f"s{stage}b{block}"
            y = net.relu(net.norm(f"{name}_1n", net.conv(f"{name}_1", x, 3 * width, 1)))
            y = net.relu(net.norm(f"{name}_2n", net.depthwise(f"{name}_2", y, 3 * width)))
            y = net.norm(f"{name}_3n", net.conv(f"{name}_3", y, wider, 1))
            x, width = (net.add(x, y) if width == wider else y), wider
    return net.dense("out", net.mean(net.relu(net.conv("head", x, 16, 1))), 5)


def densenet121(net, x):
    x, width = net.conv("stem", x, 8, 3), 8
    for stage, blocks in enumerate((6, 12, 24, 16)):
        for block in range(blocks):
            name = f"s{stage}b{block}"
            y = net.conv(f"{name}_1", net.relu(net.norm(f"{name}_1n", x)), 6, 1)
            y = net.conv(f"{name}_2", net.relu(net.norm(f"{name}_2n", y)), 3, 3)
            x, width = net.concatenate(x, y), width + 3
        if stage < 3:
            width //= 2
            x = net.conv(f"t{stage}", net.relu(net.norm(f"t{stage}n", x)), width, 1)
    return net.dense("out", net.mean(net.norm("last_norm", x)), 5)


class Keras:
    """Makes a net with layers of Keras."""

    def conv(self, name, x, filters, size):
        return layers.Conv2D(filters, size, padding="same", use_bias=False, name=name)(x)

    def depthwise(self, name, x, width):
        return layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=name)(x)

    def norm(self, name, x):
        return layers.BatchNormalization(name=name)(x)

    def dense(self, name, x, units):
        return layers.Dense(units, name=name)(x)

    relu, mean = staticmethod(keras.ops.relu), staticmethod(layers.GlobalAveragePooling2D())
    add, concatenate = (
        staticmethod(lambda *x: layers.Add()(list(x))),
        staticmethod(lambda *x: layers.Concatenate()(list(x))),
    )


class Torch(torch.nn.Module):
    """Makes it with modules of PyTorch, at the first call."""

    def __init__(self, net):
        super().__init__()
        self.net, self.parts = net, torch.nn.ModuleDict()

    def forward(self, x):
        return self.net(self, x)

    def part(self, name, x, kind, *args, **kwargs):
        if name not in self.parts:
            self.parts[name] = kind(*args, **kwargs)
        return self.parts[name](x)

    def conv(self, name, x, filters, size):
        shape = (x.shape[1], filters, size)
        return self.part(name, x, torch.nn.Conv2d, *shape, padding="same", bias=False)

    def depthwise(self, name, x, width):
        options = {"padding": "same", "bias": False, "groups": width}
        return self.part(name, x, torch.nn.Conv2d, width, width, 3, **options)

    def norm(self, name, x):
        return self.part(name, x, torch.nn.BatchNorm2d, x.shape[1])

    def dense(self, name, x, units):
        return self.part(name, x, torch.nn.Linear, x.shape[1], units)

    relu = staticmethod(torch.relu)
    mean = staticmethod(lambda x: x.mean((2, 3)))
    add = staticmethod(torch.add)
    concatenate = staticmethod(lambda *x: torch.cat(x, 1))


def groups_of_torch(net):
    """For each group the layers whose inputs or outputs it has, and which of them."""
    model, x = Torch(net), torch.zeros(1, 3, 8, 8)
    model.eval()(x)
    graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=x)
    names = {module: name for name, module in model.parts.items()}
    found = set()
    for group in graph.get_all_groups(root_module_types=[torch.nn.Conv2d]):
        members = set()
        for dependency, indices in group:
            module = dependency.target.module
            if module not in names:
                continue
            is_out = graph.is_out_channel_pruning_fn(dependency.handler)
            is_kernel = not isinstance(module, torch.nn.BatchNorm2d)
            one_each = is_kernel and getattr(module, "groups", 1) > 1
            side = ("out" if is_out else "in") if is_kernel and not one_each else "through"
            members.add((names[module], side, tuple(sorted(indices))))
        found.add(frozenset(members))
    return found


def groups_of_keras(net):
    x = keras.Input((8, 8, 3))
    found = set()
    for group in channels(keras.Model(x, net(Keras(), x))).free():
        members = set()
        for part in group.parts:
            side = {"makes": "out", "reads": "in"}.get(next(iter(part.roles)), "through")
            members.add((part.layer, side, tuple(sorted(part.indices.ravel().tolist()))))
        found.add(frozenset(members))
    return found


@pytest.mark.parametrize("net", [resnet50, mobilenet_v2, densenet121])
def test_groups_are_those_of_torch_pruning(net):
    ours, theirs = groups_of_keras(net), groups_of_torch(net)
    assert len(ours) > 15
    assert ours == theirs
