"""The U-Net: the paper's network by its numbers, and the shapes of all its variants."""

import numpy as np
import pytest

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
from keras import Model, layers

from segtool.model.unet import Architecture, build_unet, count_flops, with_head

PAPER = Architecture(classes=2, depth=4, width=64, norm=False)
VARIANTS = [
    Architecture(classes=2, depth=1, width=2),
    Architecture(classes=3, depth=2, width=2, norm=False),
    Architecture(classes=2, depth=2, width=2, residual=True),
    Architecture(classes=4, depth=1, width=3, residual=True, norm=False, stem=2),
    Architecture(classes=2, depth=2, width=2, stem=2),
    Architecture(classes=3, depth=1, width=1, residual=True, stem=4),
]


def kernels(model: Model) -> list[tuple[str, int]]:
    """Returns kind and kernel size of every convolution."""
    kinds = (layers.Conv2D, layers.Conv2DTranspose)
    return [(type(layer).__name__, layer.kernel_size[0]) for layer in model.layers if isinstance(layer, kinds)]


def pictures(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


@pytest.fixture(scope="module")
def paper() -> Model:
    return build_unet(PAPER)


def test_the_papers_network_has_23_convolutions_of_the_papers_sizes(paper: Model) -> None:
    found = kernels(paper)
    assert len(found) == 23
    assert found.count(("Conv2D", 3)) == 18
    assert found.count(("Conv2DTranspose", 2)) == 4
    assert found.count(("Conv2D", 1)) == 1


def test_the_papers_network_has_31_031_745_parameters(paper: Model) -> None:
    assert paper.count_params() == 31_031_745


def test_the_papers_network_has_64_to_1024_channels(paper: Model) -> None:
    widths = [
        layer.filters for layer in paper.layers if isinstance(layer, layers.Conv2D) and layer.kernel_size == (3, 3)
    ]
    assert widths == [64, 64, 128, 128, 256, 256, 512, 512, 1024, 1024, 512, 512, 256, 256, 128, 128, 64, 64]


@pytest.mark.parametrize("norm", [False, True])
def test_normalisation_and_width_change_no_convolution(norm: bool) -> None:
    found = kernels(build_unet(Architecture(classes=2, depth=4, width=2, norm=norm)))
    assert sorted(found) == sorted([("Conv2D", 3)] * 18 + [("Conv2DTranspose", 2)] * 4 + [("Conv2D", 1)])


def test_every_3_by_3_convolution_is_normalised_and_then_has_no_bias() -> None:
    model = build_unet(Architecture(classes=2, depth=2, width=2, norm=True))
    inner = [layer for layer in model.layers if isinstance(layer, layers.Conv2D) and layer.kernel_size == (3, 3)]
    assert [layer.use_bias for layer in inner] == [False] * 10
    assert sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers) == 10


@pytest.mark.parametrize("architecture", VARIANTS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (4, 1)])
def test_the_output_has_the_size_of_the_input(architecture: Architecture, rows: int, columns: int) -> None:
    height, width = rows * architecture.stride, columns * architecture.stride
    logits = build_unet(architecture)(pictures(2, height, width))
    assert logits.shape == (2, height, width, architecture.channels)
    assert np.isfinite(np.asarray(logits)).all()


@pytest.mark.parametrize(
    ("depth", "stem", "stride"), [(1, 1, 2), (4, 1, 16), (1, 2, 4), (4, 2, 32), (5, 1, 32), (4, 4, 64)]
)
def test_the_stride_is_two_to_the_depth_times_the_stem(depth: int, stem: int, stride: int) -> None:
    assert Architecture(classes=2, depth=depth, stem=stem).stride == stride


@pytest.mark.parametrize(("classes", "channels"), [(2, 1), (3, 3), (9, 9)])
def test_two_classes_need_one_channel_and_more_one_each(classes: int, channels: int) -> None:
    assert Architecture(classes).channels == channels


def test_no_level_is_wider_than_max_width() -> None:
    narrow = Architecture(classes=2, depth=3, width=2, max_width=4)
    assert [narrow.level(k) for k in range(4)] == [2, 4, 4, 4]
    filters = {layer.filters for layer in build_unet(narrow).layers if isinstance(layer, layers.Conv2D)}
    assert filters == {1, 2, 4}


@pytest.mark.parametrize(
    ("architecture", "height", "width", "flops"),
    [
        # down 3456 + 2304, bottom 1152 + 2304, grow 512, up 4608 + 2304, logits 128
        (Architecture(classes=2, depth=1, width=2), 4, 8, 16_768),
        # stem 1728, down 1152 × 2, bottom 576 + 1152 + 64, grow 256, up 2304 + 1152 + 256, logits 3072
        (Architecture(classes=3, depth=1, width=2, residual=True, stem=2), 8, 8, 12_864),
        # stem 3456 + 576, down 1152 × 2, bottom 576 + 1152 + 64, grow 256, up 2304 + 1152 + 256, logits 4096
        (Architecture(classes=2, depth=1, width=2, residual=True, stem=4), 16, 16, 16_192),
    ],
)
def test_flops_are_two_a_multiply_add_of_every_convolution(
    architecture: Architecture, height: int, width: int, flops: int
) -> None:
    assert count_flops(architecture, height, width) == flops


def test_flops_grow_with_the_pixels_and_not_with_normalisation() -> None:
    plain, normed = (Architecture(classes=2, depth=2, width=2, norm=norm) for norm in (False, True))
    assert count_flops(plain, 16, 32) == 8 * count_flops(plain, 8, 8)
    assert count_flops(plain, 8, 8) == count_flops(normed, 8, 8)


def test_the_head_of_two_classes_is_the_sigmoid_of_the_logits() -> None:
    model = build_unet(VARIANTS[0])
    logits = np.asarray(model(pictures(1, 8, 8)), np.float64)
    probability = np.asarray(with_head(model)(pictures(1, 8, 8)))
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_the_head_of_more_classes_is_the_softmax_over_channels() -> None:
    model = build_unet(VARIANTS[1])
    logits = np.asarray(model(pictures(1, 8, 8)), np.float64)
    probability = np.asarray(with_head(model)(pictures(1, 8, 8)))
    np.testing.assert_allclose(probability, np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), atol=1e-6)


def test_the_network_with_a_head_shares_the_variables_of_the_one_without() -> None:
    model = build_unet(VARIANTS[0])
    assert [id(v) for v in with_head(model).variables] == [id(v) for v in model.variables]


@pytest.mark.parametrize("architecture", VARIANTS)
def test_mixed_bfloat16_gives_float32_near_that_of_float32(architecture: Architecture) -> None:
    mixed, full = build_unet(architecture, dtype="mixed_bfloat16"), build_unet(architecture)
    full.set_weights(mixed.get_weights())
    image = pictures(2, 2 * architecture.stride, architecture.stride)
    logits = mixed(image)
    assert logits.dtype == "float32"
    assert {str(v.dtype) for v in mixed.variables} == {"float32"}
    np.testing.assert_allclose(np.asarray(logits), np.asarray(full(image)), atol=0.1)


def test_pictures_come_in_as_bytes_and_are_scaled_inside() -> None:
    model = build_unet(VARIANTS[0])
    assert model.inputs[0].dtype == "uint8"
    scale = Model(model.inputs, model.get_layer("scale").output)
    image = np.array([0, 255], np.uint8).repeat(6).reshape(1, 2, 2, 3)
    np.testing.assert_allclose(np.asarray(scale(image)).ravel(), [-1] * 6 + [1] * 6, atol=1e-6)
