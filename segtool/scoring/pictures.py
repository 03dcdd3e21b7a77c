"""The pictures a page shows, read and scaled down once it is known which."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from segtool.errors import ImageError
from segtool.imaging.codec import read_image
from segtool.imaging.gallery import PAGE_BYTES, Shortlist, Sketch, photo_within, within
from segtool.scores import Picture
from segtool.streaming import ordered_map

WINDOW = 4  # full pictures in memory


def pictures(
    shortlist: Shortlist, image_of: Mapping[tuple[str, str], Path], *, tick: Callable[[], object] = lambda: None
) -> tuple[Picture, ...]:
    """Returns the chosen pictures, worst first, then the others drawn at random; `image_of` by split and name.

    All together stay below `PAGE_BYTES`. A photo that cannot be read, which masks on disk do not need, is left empty.
    """
    worst, drawn = ([(s.image.split, s.image.name) for s in some] for some in (shortlist.worst(), shortlist.random()))
    chosen = {(s.image.split, s.image.name): s for s in (*shortlist.worst(), *shortlist.random())}
    each = PAGE_BYTES // max(1, len(chosen))

    def picture(sketch: Sketch) -> Picture:
        key = sketch.image.split, sketch.image.name
        sketch = within(sketch, each // 2)
        try:
            image = read_image(image_of[key])
            photo = photo_within(image, sketch.width, sketch.height, limit=each - len(sketch.masks))
        except ImageError:
            photo = b""
        return Picture(
            split=key[0], name=key[1], width=sketch.width, height=sketch.height, photo=photo, masks=sketch.masks,
            worst=key in worst, random=key in drawn,
        )  # fmt: skip

    made = []
    with ThreadPoolExecutor() as pool:
        for one in ordered_map(picture, chosen.values(), pool, window=WINDOW):
            made.append(one)
            tick()
    return tuple(made)
