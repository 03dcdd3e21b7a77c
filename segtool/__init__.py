"""segtool: folders of pictures into segmentation masks, folders of masks into U-Nets.

From Python: `load`, which gives a model with `probability`, `mask` and `masks`; and `overlay`. See `segtool.api`.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Model", "load", "overlay"]

if TYPE_CHECKING:
    from segtool.api import Model, load, overlay


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from segtool import api  # TensorFlow, which `segtool --help` must not load

    return getattr(api, name)
