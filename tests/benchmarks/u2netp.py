"""The network behind `rembg -m u2netp`, with random weights: for time they are as good as the trained ones.

U²-Net (Qin et al. 2020, arXiv:2005.09007), its small variant, 320×320. It is a U of small U-Nets, "RSU" blocks.
"""

import keras
from keras import layers, ops

SIDE, MIDDLE, WIDTH = 320, 16, 64
PARAMETERS = 1_131_181  # of the trained network, without the statistics of its normalisations


def build_u2netp() -> keras.Model:
    """Returns the network from `(1, 3, 320, 320)` float32 to the seven maps `(1, 1, 320, 320)` of the original."""
    image = keras.Input((3, SIDE, SIDE), batch_size=1, name="input.1")
    x = layers.Permute((2, 3, 1))(image)
    skips = []
    for depth in (7, 6, 5, 4):
        x = _rsu(x, depth)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    for last in (False, True):
        x = _dilated(x)
        skips.append(x)
        x = x if last else layers.MaxPooling2D()(x)
    maps = [layers.Conv2D(1, 3, padding="same")(x)]
    for depth, skip in zip((0, 4, 5, 6, 7), reversed(skips[:-1]), strict=True):
        x = layers.Concatenate()([_like(x, skip), skip])
        x = _rsu(x, depth) if depth else _dilated(x)
        maps.append(layers.Conv2D(1, 3, padding="same")(x))
    grown = [_to_side(m) for m in reversed(maps)]
    fused = layers.Conv2D(1, 1, name="fused")(layers.Concatenate()(grown))
    return keras.Model(image, [layers.Permute((3, 1, 2))(ops.sigmoid(m)) for m in (fused, *grown)])


def settle(network: keras.Model) -> None:
    """Lets the coarsest map alone shape the mask, steeply: noise would cost PNG far more than masks of objects do.

    Every layer still runs. Without it, rembg's PNGs of random weights are several times as large as real ones.
    """
    kernel, bias = network.get_layer("fused").get_weights()
    kernel *= 1e-3
    kernel[0, 0, -1, 0] = 60.0
    network.get_layer("fused").set_weights([kernel, bias])


def _rsu(x: keras.KerasTensor, depth: int) -> keras.KerasTensor:
    """A U-Net of `depth` levels, the last of them dilated, and a shortcut around it."""
    begin = x = _conv(x, WIDTH)
    skips = [x := _conv(x, MIDDLE)]
    for _ in range(depth - 2):
        skips.append(x := _conv(layers.MaxPooling2D()(x), MIDDLE))
    x = _conv(x, MIDDLE, dilation=2)
    for level in reversed(range(depth - 1)):
        x = layers.Concatenate()([_like(x, skips[level]), skips[level]])
        x = _conv(x, MIDDLE if level else WIDTH)
    return layers.Add()([x, begin])


def _dilated(x: keras.KerasTensor) -> keras.KerasTensor:
    """The same without pooling: wider views by dilation."""
    begin = x = _conv(x, WIDTH)
    skips = [x := _conv(x, MIDDLE, dilation=d) for d in (1, 2, 4)]
    x = _conv(x, MIDDLE, dilation=8)
    for skip, dilation in zip(reversed(skips), (4, 2, 1), strict=True):
        x = _conv(layers.Concatenate()([x, skip]), WIDTH if dilation == 1 else MIDDLE, dilation=dilation)
    return layers.Add()([x, begin])


def _conv(x: keras.KerasTensor, channels: int, *, dilation: int = 1) -> keras.KerasTensor:
    x = layers.Conv2D(channels, 3, padding="same", dilation_rate=dilation)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def _like(x: keras.KerasTensor, other: keras.KerasTensor) -> keras.KerasTensor:
    return x if x.shape[1] == other.shape[1] else layers.UpSampling2D(2, interpolation="bilinear")(x)


def _to_side(x: keras.KerasTensor) -> keras.KerasTensor:
    factor = SIDE // int(x.shape[1])
    return x if factor == 1 else layers.UpSampling2D(factor, interpolation="bilinear")(x)
