"""segtool from Python: on arrays and files, the masks that the commands write."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from PIL import Image

import segtool
from segtool.card import ClassInfo
from segtool.errors import ImageError, ModelError, UsageError
from segtool.imaging.codec import read_image


@pytest.fixture(scope="module")
def model() -> Any:
    """The bundled shapes weights, ready to run."""
    return segtool.load("shapes", precision="float32")


@pytest.fixture
def picture(shapes: Path) -> Path:
    return shapes / "val/images/00000.png"


def test_importing_segtool_loads_nothing_heavy() -> None:
    script = (
        "import sys, segtool\n"
        "assert segtool.__version__ and set(dir(segtool)) >= {'__version__'}\n"
        "print(*{name.split('.')[0] for name in sys.modules} & {'numpy', 'cv2', 'PIL', 'keras', 'tensorflow', 'typer'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_what_is_promised_is_there_and_nothing_else_is_invented() -> None:
    assert {"Model", "load", "overlay"} == set(segtool.__all__)
    assert isinstance(segtool.load, type(test_importing_segtool_loads_nothing_heavy))
    with pytest.raises(AttributeError, match="has no attribute 'predict'"):
        _ = segtool.predict


def test_a_probability_is_float32_between_0_and_1_at_network_size(model: Any, picture: Path) -> None:
    probability = model.probability(picture)
    assert probability.dtype == np.float32 and probability.ndim == 3 and probability.shape[2] == 1
    assert max(probability.shape[:2]) == model.card.network_size
    assert all(side % model.card.stride == 0 for side in probability.shape[:2])
    assert 0 <= probability.min() < probability.max() <= 1


def test_a_mask_is_class_ids_at_the_pictures_size_and_what_the_command_writes(
    model: Any, shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    assert segtool("mask", shapes / "val/images", tmp_path, "-w", "shapes", "--values", "id").returncode == 0
    for path in (shapes / "val/images").iterdir():
        mask = model.mask(path)
        assert mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 1}
        assert np.array_equal(mask, np.asarray(Image.open(tmp_path / path.name)))


@pytest.fixture(scope="module")
def large(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of JPEGs that are decoded small for these weights, every other one turned. Not to be changed."""
    data = tmp_path_factory.mktemp("large") / "data"
    for kind, suffix, enlarging in (
        ("images", "jpg", Image.Resampling.BICUBIC),
        ("masks", "png", Image.Resampling.NEAREST),
    ):
        (data / "val" / kind).mkdir(parents=True)
        for number, path in enumerate(sorted((shapes / "val" / kind).iterdir())):
            exif = Image.Exif()
            exif[0x0112] = (1, 6)[number % 2]
            stored = Image.open(path).resize((901, 903), enlarging)
            stored.save(data / "val" / kind / f"{path.stem}.{suffix}", exif=exif)
    return data


def test_command_api_and_scores_see_the_same_of_a_picture_that_is_decoded_small(
    model: Any, large: Path, segtool: Run, tmp_path: Path
) -> None:
    pictures = sorted((large / "val/images").iterdir())
    assert segtool("mask", large / "val/images", tmp_path, "-w", "shapes", "--values", "id").returncode == 0
    together = dict(model.masks(pictures))
    for path in pictures:
        written = np.asarray(Image.open(tmp_path / f"{path.stem}.png"))
        assert np.array_equal(model.mask(path), written) and np.array_equal(together[path], written)
        pixels = read_image(path)
        assert not np.array_equal(model.probability(path), model.probability(pixels))  # an array is whole
        assert np.mean(model.mask(pixels) != written) < 0.01
    of_weights, of_masks = (
        json.loads(segtool("evaluate", large, *arguments, "--json", "-q").stdout)
        for arguments in (("-w", "shapes"), ("--predictions", tmp_path))
    )
    assert of_weights["confusion"] == of_masks["confusion"]
    assert [image["counts"] for image in of_weights["images"]] == [image["counts"] for image in of_masks["images"]]


def test_a_path_as_text_a_path_and_pixels_give_the_same(model: Any, picture: Path) -> None:
    pixels = read_image(picture)
    before = pixels.copy()
    masks = [model.mask(image) for image in (str(picture), picture, pixels)]
    assert np.array_equal(masks[0], masks[1]) and np.array_equal(masks[1], masks[2])
    assert np.array_equal(model.probability(str(picture)), model.probability(pixels))
    assert np.array_equal(pixels, before)


def test_pixels_need_not_lie_in_one_piece(model: Any, picture: Path) -> None:
    pixels = read_image(picture)
    mirrored = pixels[:, ::-1]
    assert np.array_equal(model.mask(mirrored), model.mask(np.ascontiguousarray(mirrored)))


def test_masks_of_many_files_are_those_of_each(model: Any, shapes: Path) -> None:
    paths = sorted((shapes / "train/images").iterdir())
    found = dict(model.masks(map(str, paths)))
    assert found.keys() == set(paths)
    assert all(np.array_equal(mask, model.mask(path)) for path, mask in found.items())


def test_masks_are_made_as_they_are_asked_for(model: Any, picture: Path) -> None:
    taken: list[int] = []

    def endless() -> Any:
        while True:
            taken.append(1)
            yield picture

    stream = model.masks(endless())
    next(stream)
    stream.close()
    assert len(taken) < 100


def test_files_that_cannot_be_read_are_listed_or_raised(model: Any, picture: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    failures: list[tuple[str, str]] = []
    assert [path for path, _ in model.masks([bad, picture], failures=failures)] == [picture]
    ((path, why),) = failures
    assert path == str(bad) and "is not a picture" in why
    for missing in (bad, tmp_path / "missing.png"):
        with pytest.raises(ImageError, match=missing.name):
            list(model.masks([picture, missing]))
        with pytest.raises(ImageError, match=missing.name):
            model.mask(missing)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((3, 4, 4), np.uint8),
    ],
)
def test_what_is_no_rgb_picture_is_refused_with_its_shape(model: Any, image: Any) -> None:
    with pytest.raises(ImageError, match=r"\(H, W, 3\) uint8"):
        model.mask(image)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3)])
def test_a_picture_without_pixels_is_refused(model: Any, shape: tuple[int, int, int]) -> None:
    with pytest.raises(ImageError):
        model.mask(np.zeros(shape, np.uint8))


def test_a_threshold_can_be_given(picture: Path, model: Any) -> None:
    shares = [np.mean(segtool.Model(model.predictor, t).mask(picture)) for t in (0.1, 0.5, 0.9)]
    assert shares[0] > shares[1] > shares[2]
    assert segtool.load("shapes", threshold=0.9, precision="float32").threshold == 0.9
    assert model.threshold == model.card.threshold


def test_what_cannot_be_loaded_is_an_error_of_ours() -> None:
    with pytest.raises(ModelError, match="There are no weights 'nothing'"):
        segtool.load("nothing")
    with pytest.raises(UsageError, match="--precision half"):
        segtool.load("shapes", precision="half")
    with pytest.raises(UsageError, match="--device moon"):
        segtool.load("shapes", device="moon")


def test_an_overlay_paints_the_mask_and_nothing_else(model: Any, picture: Path) -> None:
    pixels, mask = read_image(picture), model.mask(picture)
    assert 0 < mask.mean() < 1
    painted = segtool.overlay(picture, mask, opacity=1)
    assert painted.shape == pixels.shape and painted.dtype == np.uint8
    assert np.array_equal(painted[mask == 0], pixels[mask == 0])
    assert len(np.unique(painted[mask == 1], axis=0)) == 1
    assert segtool.overlay(pixels, mask, style="side-by-side").shape[1] >= 2 * pixels.shape[1]


def test_an_overlay_takes_the_colours_of_classes_by_id() -> None:
    classes = (ClassInfo(0, "background", (0, 0, 0)), ClassInfo(9, "sky", (1, 2, 3)))
    mask = np.array([[0, 9], [9, 0]], np.uint8)
    painted = segtool.overlay(np.full((2, 2, 3), 200, np.uint8), mask, classes=classes, opacity=1)
    assert painted.tolist() == [[[200] * 3, [1, 2, 3]], [[1, 2, 3], [200] * 3]]


def test_an_overlay_of_ids_without_classes_gives_each_a_colour_of_its_own() -> None:
    mask = np.arange(16, dtype=np.uint8).reshape(4, 4)
    painted = segtool.overlay(np.full((4, 4, 3), 200, np.uint8), mask, opacity=1)
    assert len(np.unique(painted.reshape(-1, 3), axis=0)) == 16


def test_an_overlay_of_a_mask_of_another_size_is_refused(picture: Path) -> None:
    with pytest.raises(ImageError, match="must be of one size"):
        segtool.overlay(picture, np.zeros((3, 4), np.uint8))
