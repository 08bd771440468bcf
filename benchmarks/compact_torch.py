"""ResNet50 in PyTorch, with the strides where `keras.applications.ResNet50` has them."""

import torch
from torch import nn


class Block(nn.Module):
    """Three convolutions beside a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, projects: bool):
        super().__init__()

        def layer(before: int, after: int, size: int, stride: int = 1) -> nn.Sequential:
            padding = size // 2
            convolution = nn.Conv2d(before, after, size, stride, padding)
            return nn.Sequential(convolution, nn.BatchNorm2d(after))

        self.first = layer(inputs, width, 1, stride)
        self.second = layer(width, width, 3)
        self.third = layer(width, 4 * width, 1)
        self.shortcut = layer(inputs, 4 * width, 1, stride) if projects else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first(x))
        y = torch.relu(self.second(y))
        return torch.relu(self.third(y) + self.shortcut(x))


class ResNet50(nn.Module):
    """A stem, four stages of blocks, a head."""

    def __init__(self, classes: int = 1000):
        super().__init__()
        stem = nn.Conv2d(3, 64, 7, 2, 3)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        blocks, inputs = [], 64
        for stage, (count, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True)):
            for place in range(count):
                stride = 2 if place == 0 and stage else 1
                blocks.append(Block(inputs, width, stride, projects=place == 0))
                inputs = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def resnet50() -> ResNet50:
    """The model, with random weights."""
    return ResNet50()
