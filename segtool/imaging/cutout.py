from typing import Any

Background = Any


def parse_background(text: str) -> Any:
    return text


def edge_alpha(soft: Any, here: Any) -> Any:
    return here * 255


def cutout(image: Any, alpha: Any) -> Any:
    import numpy as np

    return np.dstack([image, alpha])


def on_background(cut: Any, background: Any, image: Any) -> Any:
    return image
