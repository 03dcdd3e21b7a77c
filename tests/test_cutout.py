"""Objects cut out: opacity along the border, edge colours without the old background."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from segtool.imaging import cutout as cutting
from segtool.imaging import windows as walking
from segtool.imaging.codec import Pixels
from segtool.imaging.cutout import BLEED, cutout, edge_alpha

Floats = npt.NDArray[np.float64]


def disc(height: int, width: int, *, radius: float, softness: float, at: tuple[float, float] = (0.5, 0.5)) -> Floats:
    """A disc with an edge that falls from 1 to 0 over `softness` pixels, 0.5 at its radius."""
    ys, xs = np.mgrid[:height, :width]
    distance = np.hypot(ys - at[0] * height, xs - at[1] * width)
    return np.asarray(np.clip(0.5 + (radius - distance) / softness, 0, 1), np.float64)


def waves(height: int, width: int, *, low: tuple[int, int, int], high: tuple[int, int, int], period: float) -> Floats:
    """A texture between two colours."""
    ys, xs = np.mgrid[:height, :width]
    mix = 0.5 + 0.25 * (np.sin(ys / period) + np.sin(xs / period))
    return np.asarray(np.array(low) + mix[..., None] * (np.array(high) - np.array(low)), np.float64)


def over(colors: npt.NDArray[np.generic], alpha: npt.NDArray[np.generic], ground: tuple[int, int, int]) -> Floats:
    opacity = alpha.astype(np.float64)[..., None] / 255
    return np.asarray(opacity * colors.astype(np.float64) + (1 - opacity) * np.array(ground), np.float64)


def scene(height: int, width: int, softness: float) -> tuple[Pixels, Pixels, Floats]:
    """A photo of a warm textured disc on a cold textured ground, its opacity, and the true colours of the disc."""
    front = waves(height, width, low=(150, 60, 20), high=(230, 120, 60), period=height / 30)
    back = waves(height, width, low=(20, 120, 180), high=(60, 220, 255), period=height / 20)
    alpha = np.rint(255 * disc(height, width, radius=0.3 * min(height, width), softness=softness)).astype(np.uint8)
    opacity = alpha[..., None] / 255
    return np.rint(opacity * front + (1 - opacity) * back).astype(np.uint8), alpha, front


def border_distance(mask: Pixels) -> Floats:
    """The distance of each pixel to the nearest of the other value, infinite where there is none."""
    places = np.argwhere(np.ones_like(mask))
    distance = np.full(mask.size, np.inf)
    for value in (0, 1):
        own, other = (mask == value).ravel(), np.argwhere(mask != value)
        if other.size:
            distance[own] = [np.hypot(*(other - place).T).min() for place in places[own]]
    return distance.reshape(mask.shape)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("share", [1 / 96, 1 / 12])
def test_opacity_follows_the_probability_within_bounds_that_narrow_with_the_distance(
    threshold: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By definition, but for distances by 5 × 5 chamfer: at most 3 levels of 255."""
    monkeypatch.setattr(cutting, "REACH_SHARE", share)
    probability = disc(50, 90, radius=15, softness=12, at=(0.5, 0.9)).astype(np.float32)
    mask = (probability >= threshold).astype(np.uint8)
    reach = max(2, round(share * np.sqrt(mask.size)))
    steps = np.clip((border_distance(mask) - 1) / reach, 0, 1)
    inside = 128 + 127 * np.clip((probability - threshold) / (0.8 * (1 - threshold)), 0, 1)
    outside = 127 - 127 * np.clip((threshold - probability) / (0.8 * threshold), 0, 1)
    expected = np.where(mask, np.maximum(inside, 128 + 127 * steps), np.minimum(outside, 127 - 127 * steps))
    alpha = edge_alpha(probability, mask, threshold=threshold)
    assert alpha.dtype == np.uint8
    assert np.abs(alpha - expected).max() <= 3
    assert np.unique(alpha).size > 5


def noise(height: int, width: int, seed: int) -> npt.NDArray[np.float32]:
    coarse = np.random.default_rng(seed).random((max(1, height // 20), max(1, width // 20)), np.float32)
    return np.asarray(np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1), np.float32)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("eight_bits", [False, True])
def test_opacity_is_128_or_more_just_where_the_mask_is(threshold: float, eight_bits: bool) -> None:
    probability = noise(300, 290, seed=1)
    mask = (probability >= threshold).astype(np.uint8)
    mask[100:160, 50:200] = 1  # as if filled
    mask[200:, 150:] = 0  # as if removed
    given = np.rint(probability * 255).astype(np.uint8) if eight_bits else probability
    assert np.array_equal(edge_alpha(given, mask, threshold=threshold) >= 128, mask == 1)


def test_opacity_is_full_or_none_beyond_the_reach_of_the_border() -> None:
    probability = noise(400, 500, seed=2)
    mask = (probability >= 0.5).astype(np.uint8)
    alpha = edge_alpha(probability, mask, threshold=0.5)
    reach = round(cutting.REACH_SHARE * np.sqrt(mask.size)) + 1
    near = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    assert (alpha[cv2.dilate(mask, near) == 0] == 0).all()
    assert (alpha[cv2.erode(mask, near) == 1] == 255).all()
    assert ((alpha > 0) & (alpha < 255)).mean() > 0.01


def two_discs() -> tuple[npt.NDArray[np.float32], Pixels, Pixels]:
    """A large disc, and a small and doubtful one some pixels from it; the masks of both. Opacity reaches 40 pixels."""
    large = disc(200, 200, radius=50, softness=12, at=(0.5, 0.3))
    small = 0.6 * disc(200, 200, radius=14, softness=12, at=(0.5, 0.625))
    large_mask, small_mask = ((p >= 0.5).astype(np.uint8) for p in (large, small))
    return np.maximum(large, small).astype(np.float32), large_mask, small_mask


def test_what_was_removed_from_the_mask_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "REACH_SHARE", 1 / 5)
    probability, large, small = two_discs()
    both = edge_alpha(probability, large | small, threshold=0.5)
    alpha = edge_alpha(probability, large, threshold=0.5)
    assert both[small == 1].min() >= 128
    assert not alpha[small == 1].any()
    assert not alpha[:, 120:].any()  # nor what was soft around it
    assert np.array_equal(alpha[:, :90], both[:, :90])


def test_what_was_filled_in_the_mask_is_opaque(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "REACH_SHARE", 1 / 5)
    probability, large, small = two_discs()
    alpha = edge_alpha(1 - probability, 1 - large, threshold=0.5)
    assert (alpha[small == 1] == 255).all()
    assert (alpha[:, 120:] == 255).all()


def test_a_mask_rounded_otherwise_than_the_probability_keeps_its_soft_edge() -> None:
    probability = disc(120, 120, radius=40, softness=30).astype(np.float32)
    mask = (probability >= 0.5).astype(np.uint8)
    exact = edge_alpha(probability, mask, threshold=0.5).astype(int)
    for shift in (-1, 1):
        shifted = np.clip(np.rint(255 * probability) + shift, 0, 255).astype(np.uint8)
        assert np.abs(edge_alpha(shifted, mask, threshold=0.5) - exact).max() <= 3


def test_a_class_that_won_with_less_than_the_threshold_keeps_its_soft_edge() -> None:
    probability = disc(120, 120, radius=40, softness=30).astype(np.float32)
    mask = (probability >= 0.4).astype(np.uint8)
    alpha = edge_alpha(probability, mask, threshold=0.5)
    outermost = (mask == 1) & (cv2.erode(mask, np.ones((3, 3), np.uint8)) == 0)
    assert alpha[outermost].max() < 200


def test_a_mask_that_ends_at_the_edge_of_the_picture_is_opaque_there() -> None:
    probability = np.tile(np.linspace(0, 1, 100, dtype=np.float32), (60, 1))
    alpha = edge_alpha(probability, (probability >= 0.5).astype(np.uint8), threshold=0.5)
    assert (alpha[:, -1] == 255).all()
    assert (alpha[0] == alpha[30]).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (2, 3), (1, 40000)])
@pytest.mark.parametrize("value", [0, 1])
def test_a_mask_of_one_value_is_wholly_opaque_or_transparent(shape: tuple[int, int], value: int) -> None:
    mask = np.full(shape, value, np.uint8)
    image = np.full((*shape, 3), 77, np.uint8)
    alpha = edge_alpha(np.full(shape, 0.4, np.float32), mask, threshold=0.5)
    assert (alpha == 255 * value).all()
    rgba = cutout(image, alpha)
    assert rgba.shape == (*shape, 4)
    assert (rgba == (77, 77, 77, 255) if value else rgba == 0).all()


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (1, 2), (3, 2), (1, 40000)])
def test_the_narrowest_pictures_can_be_cut_out(shape: tuple[int, int]) -> None:
    probability = np.linspace(0, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    mask = (probability >= 0.5).astype(np.uint8)
    alpha = edge_alpha(probability, mask, threshold=0.5)
    assert np.array_equal(alpha >= 128, mask == 1)
    rgba = cutout(np.full((*shape, 3), 77, np.uint8), alpha)
    assert np.array_equal(rgba[..., 3], alpha)
    assert (np.abs(rgba[alpha > 0][:, :3].astype(int) - 77) <= 1).all()


@pytest.mark.parametrize(("size", "softness"), [((300, 260), 12), ((300, 260), 3), ((1000, 900), 30)])
@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (255, 0, 255)])
def test_on_new_ground_the_edge_shows_no_halo_of_the_old(
    size: tuple[int, int], softness: float, ground: tuple[int, int, int]
) -> None:
    """Against the true composite; plain RGBA, the photo's own colours, is off by 22 levels in the mean."""
    image, alpha, front = scene(*size, softness)
    true = over(front, alpha, ground)
    band = (alpha > 0) & (alpha < 255)
    error = np.abs(over(cutout(image, alpha)[..., :3], alpha, ground) - true)[band].mean()
    naive = np.abs(over(image, alpha, ground) - true)[band].mean()
    assert naive > 20
    assert error < 4.5
    assert error < naive / 5


def box(values: Floats, side: int) -> Floats:
    """The mean over squares, mirrored at the edges without repeating them."""
    before, after = side // 2, side - 1 - side // 2
    padded = np.pad(values, ((before, after), (before, after), (0, 0)), mode="reflect")
    squares = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))
    return np.asarray(squares.mean(axis=(3, 4)), np.float64)


def test_edge_colours_are_those_of_blur_fusion_by_its_definition() -> None:
    image, alpha, _ = scene(300, 260, 10)
    picture, opacity = image.astype(np.float64), alpha[..., None] / 255
    side = np.sqrt(300 * 260)
    wide, fine = round(side / 15), max(3, round(side / 56))
    tiny = 1e-5

    def mean(colors: Floats, weight: Floats, otherwise: Floats, length: int) -> Floats:
        return (box(colors * weight, length) + tiny * otherwise) / (box(weight, length) + tiny)

    def fused(front: Floats, back: Floats) -> Floats:
        return np.clip(front + opacity**2 * (picture - opacity * front - (1 - opacity) * back), 0, 255)

    sure, clear = opacity**4, (1 - opacity) ** 4
    front, back = mean(picture, sure, picture, wide), mean(picture, clear, picture, wide)
    front, back = mean(fused(front, back), sure, front, fine), mean(back, clear, back, fine)
    band = (alpha > 0) & (alpha < 255)
    assert np.abs(cutout(image, alpha)[..., :3] - fused(front, back))[band].max() <= 1


def test_opaque_pixels_stay_and_those_far_outside_are_nothing() -> None:
    image, alpha, _ = scene(300, 260, 12)
    rgba = cutout(image, alpha)
    assert rgba.dtype == np.uint8
    assert np.array_equal(rgba[..., 3], alpha)
    assert np.array_equal(rgba[alpha == 255][:, :3], image[alpha == 255])
    near = cv2.dilate(alpha, np.ones((2 * BLEED + 1, 2 * BLEED + 1), np.uint8)) > 0
    assert not rgba[~near].any()


@pytest.mark.parametrize(("softness", "tolerance"), [(0.01, 10), (3, 10), (12, 40)])
def test_transparent_pixels_beside_the_object_carry_its_colour(softness: float, tolerance: float) -> None:
    """In the mean; the old background is 135 levels away."""
    image, alpha, front = scene(300, 260, softness)
    rgba = cutout(image, alpha)
    rim = (cv2.dilate(alpha, np.ones((3, 3), np.uint8)) > 0) & (alpha == 0)
    assert np.abs(rgba[rim][:, :3] - front[rim]).mean() < tolerance


@pytest.mark.parametrize("factor", [0.5, 1.7])
def test_scaling_straight_alpha_draws_no_dark_line_around_the_object(factor: float) -> None:
    image, alpha, front = scene(300, 260, 0.01)
    for rgba, clean in ((cutout(image, alpha), True), (np.dstack([image * (alpha[..., None] > 0), alpha]), False)):
        filtering = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        scaled = np.asarray(cv2.resize(rgba, None, fx=factor, fy=factor, interpolation=filtering))
        edge = (scaled[..., 3] > 20) & (scaled[..., 3] < 235)
        darkest = scaled[edge][:, 0].min()
        assert (darkest >= front[..., 0].min() - 20) == clean


def test_the_result_does_not_depend_on_the_pieces_it_is_computed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    image, alpha, _ = scene(700, 600, 12)
    probability = noise(700, 600, seed=3)
    mask = (probability > 0.5).astype(np.uint8)
    colors, opacity = cutout(image, alpha), edge_alpha(probability, mask, threshold=0.5)
    monkeypatch.setattr(walking, "WINDOW", 1000)
    monkeypatch.setattr(walking, "STRIP_PIXELS", 10**7)
    assert np.abs(cutout(image, alpha).astype(int) - colors).max() <= 1  # positions are rounded to 1/32 of a pixel
    assert np.abs(edge_alpha(probability, mask, threshold=0.5).astype(int) - opacity).max() <= 1


def test_the_colours_of_a_large_picture_lie_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "COARSE_SIDE", 20)
    levels = np.arange(240)
    image = np.stack([*np.meshgrid(levels, levels), np.full((240, 240), 90)], axis=-1).astype(np.uint8)
    alpha = np.rint(255 * disc(240, 240, radius=80, softness=6)).astype(np.uint8)
    rgba = cutout(image, alpha)
    rim = (rgba[..., 2] > 0) & (alpha < 128)
    assert np.abs((rgba[rim][:, :3].astype(float) - image[rim]).mean(axis=0)).max() < 0.5
    clear = cutout(np.full((240, 240, 3), 90, np.uint8), np.full((240, 240), 50, np.uint8))
    assert (clear == (90, 90, 90, 50)).all()  # up to the corners


def test_cutting_out_changes_nothing_it_was_given() -> None:
    image, alpha, _ = scene(300, 260, 12)
    probability = alpha.astype(np.float32) / np.float32(255)
    mask = (alpha >= 128).astype(np.uint8)
    before = [a.copy() for a in (image, alpha, probability, mask)]
    cutout(image, alpha)
    edge_alpha(probability, mask, threshold=0.5)
    assert all(np.array_equal(a, b) for a, b in zip((image, alpha, probability, mask), before, strict=True))
