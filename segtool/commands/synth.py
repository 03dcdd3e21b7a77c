"""`segtool synth`: a dataset of geometric shapes, laid out as `train` reads it; the same bytes for the same seed."""

import json

import numpy as np

from segtool.data.classes import class_color
from segtool.data.shapes import SHAPES, draw_pair
from segtool.errors import UsageError
from segtool.files import write_whole
from segtool.imaging.encode import encode_png
from segtool.options import SynthOptions
from segtool.report.notices import Show
from segtool.results import Synthesised


def synth(options: SynthOptions, show: Show) -> Synthesised:
    """Writes `train` and `val` pairs of shapes below `options.data`. Raises UsageError when it is not empty."""
    root = options.data
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"{root} is not empty: name a new folder for the dataset.")
    if options.multiclass:  # two classes are 0 and 255, which needs no explanation
        names = ("background", *SHAPES)
        classes = [{"id": i, "name": name, "color": class_color(i)} for i, name in enumerate(names)]
        write_whole(root / "classes.json", (json.dumps({"classes": classes}, indent=1) + "\n").encode())
    with show.progress("drawing", options.train + options.val, "pair") as bar:
        for split, count in (("train", options.train), ("val", options.val)):
            for index in range(count):
                # A generator a picture: picture 7 is the same however many there are.
                rng = np.random.default_rng((options.seed, split == "val", index))
                image, mask = draw_pair(options.size, multiclass=options.multiclass, rng=rng)
                write_whole(root / split / "images" / f"{index:05}.png", encode_png(image))
                write_whole(root / split / "masks" / f"{index:05}.png", encode_png(mask))
                bar.update()
    return Synthesised(root, options.train, options.val)
