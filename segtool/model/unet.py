"""The U-Net of Ronneberger, Fischer and Brox (2015, arXiv:1505.04597), by depth and width, in Keras' own layers.

Same padding in place of cropping, so that a mask has the size of its image. Batch normalisation, residual blocks
(He et al. 2016) and a stem of stride 2 or 4, which leaves most of the work to a quarter or a sixteenth of the pixels,
are options.
"""

import math
from dataclasses import dataclass

import keras
from keras import layers

from segtool.model.encoders import encoder_levels


@dataclass(frozen=True)
class Architecture:
    """Which U-Net. `depth` 4 and `width` 64 with all else as it stands is the paper's network of 23 convolutions.

    Level k has `min(width · 2^k, max_width)` channels; `stem` 2 or 4 is by how much the picture shrinks before the
    first level. `encoder` names a network of `keras.applications` for the way down; its stem is 2, and width and
    normalisation are those of the way up.
    """

    classes: int
    depth: int = 4
    width: int = 16
    max_width: int = 1024
    norm: bool = True
    residual: bool = False
    stem: int = 1
    encoder: str = ""

    @property
    def stride(self) -> int:
        """Sides of the network's input are multiples of this."""
        return self.stem << self.depth

    @property
    def channels(self) -> int:
        """Output channels: one for two classes (sigmoid), else one a class (softmax)."""
        return 1 if self.classes == 2 else self.classes

    def level(self, k: int) -> int:
        """Returns the channels of level `k`, 0 at the top."""
        return min(self.width << k, self.max_width)


def build_network(
    architecture: Architecture, *, dtype: str = "float32", size: tuple[int | None, int | None] = (None, None)
) -> keras.Model:
    """Returns `build_unet`, or with an encoder the same shape of network on top of it."""
    a = architecture
    if not a.encoder:
        return build_unet(a, dtype=dtype, size=size)
    image = keras.Input((*size, 3), dtype="uint8", name="image")
    *skips, x = encoder_levels(a.encoder, image, depth=a.depth, dtype=dtype)
    return keras.Model(image, _way_up(x, skips, a, dtype), name="unet")


def build_unet(
    architecture: Architecture, *, dtype: str = "float32", size: tuple[int | None, int | None] = (None, None)
) -> keras.Model:
    """Returns the network from uint8 RGB `(B, h, w, 3)` to float32 logits `(B, h, w, channels)`.

    `dtype` is the Keras policy of the inner layers; `size` fixes h and w (multiples of `stride`) where wanted.
    """
    a = architecture
    image = keras.Input((*size, 3), dtype="uint8", name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, dtype=dtype, name="scale")(image)
    for halving in reversed(range(a.stem.bit_length() - 1)):
        name = f"stem{halving}" if halving else "stem"
        channels = max(a.level(0) >> halving, 1)
        x = layers.Conv2D(channels, 3, strides=2, padding="same", activation="relu", dtype=dtype, name=name)(x)

    skips = []
    for k in range(a.depth):
        x = _block(x, a, a.level(k), dtype, f"down{k}")
        skips.append(x)
        x = layers.MaxPooling2D(dtype=dtype, name=f"down{k}_pool")(x)
    x = _block(x, a, a.level(a.depth), dtype, "bottom")
    return keras.Model(image, _way_up(x, skips, a, dtype), name="unet")


def _way_up(x: keras.KerasTensor, skips: list[keras.KerasTensor], a: Architecture, dtype: str) -> keras.KerasTensor:
    """Grows level by level, joining what the way down saw at each, and ends in float32 logits."""
    for k in reversed(range(a.depth)):
        x = layers.Conv2DTranspose(a.level(k), 2, strides=2, dtype=dtype, name=f"up{k}_grow")(x)
        x = layers.Concatenate(dtype=dtype, name=f"up{k}_join")([skips[k], x])
        x = _block(x, a, a.level(k), dtype, f"up{k}")

    if a.stem > 1:
        # A kernel of twice the stride covers every output pixel equally often: no checkerboard.
        x = layers.Conv2DTranspose(
            a.channels, 2 * a.stem, strides=a.stem, padding="same", dtype="float32", name="logits"
        )(x)  # fmt: skip
    else:
        x = layers.Conv2D(a.channels, 1, dtype="float32", name="logits")(x)
    return x


def with_head(logits_model: keras.Model) -> keras.Model:
    """Returns the same network, sharing its variables, ending in probability float32 (sigmoid or softmax)."""
    logits = logits_model.output
    activation = "sigmoid" if logits.shape[-1] == 1 else "softmax"
    probability = layers.Activation(activation, dtype="float32", name="probability")(logits)
    return keras.Model(logits_model.input, probability, name=logits_model.name)


def count_flops(architecture: Architecture, height: int, width: int) -> int:
    """Returns the floating point operations of one picture, convolutions only, a multiply-add being two."""
    return convolution_flops(build_network(architecture, size=(height, width)))


def convolution_flops(network: keras.Model) -> int:
    """Returns the same of a network whose sides are fixed."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, layers.Conv2DTranspose | layers.Conv2D | layers.DepthwiseConv2D):
            grows = isinstance(layer, layers.Conv2DTranspose)
            _, rows, columns, _ = (layer.input if grows else layer.output).shape
            total += 2 * rows * columns * math.prod(layer.kernel.shape)
    return int(total)


def _block(x: keras.KerasTensor, a: Architecture, channels: int, dtype: str, name: str) -> keras.KerasTensor:
    """Two 3×3 convolutions, each with normalisation where asked and ReLU; a shortcut around both where asked."""
    shortcut = x
    for i in (1, 2):
        x = layers.Conv2D(
            channels, 3, padding="same", use_bias=not a.norm, kernel_initializer="he_normal", dtype=dtype,
            name=f"{name}_conv{i}",
        )(x)  # fmt: skip
        if a.norm:
            # Keras' momentum of 0.99 lags for epochs on a small set.
            x = layers.BatchNormalization(momentum=0.9, dtype=dtype, name=f"{name}_norm{i}")(x)
        if i == 2 and a.residual:
            if shortcut.shape[-1] != channels:
                shortcut = layers.Conv2D(channels, 1, dtype=dtype, name=f"{name}_project")(shortcut)
            x = layers.Add(dtype=dtype, name=f"{name}_add")([x, shortcut])
        x = layers.ReLU(dtype=dtype, name=f"{name}_relu{i}")(x)
    return x
