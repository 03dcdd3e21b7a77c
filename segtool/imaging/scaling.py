"""Pictures at another size: one filter down, one up, for train, evaluate and mask (DESIGN section 4)."""

import cv2
import numpy as np
import numpy.typing as npt

# The mean over a box that begins and ends within pixels takes these for evenly filled, which is to interpolate the
# running sum linearly: off by x · (1 - x) / 2 of its second difference at x of the way through a pixel, a twelfth in
# the mean. So means come out as if a twelfth of their own second difference had been added: it is taken off before.
SHARPENED = np.array((-1, 14, -1), np.float32) / 12


def shrink_means(
    means: npt.NDArray[np.uint8], size: tuple[int, int], *, extent: tuple[float, float]
) -> npt.NDArray[np.uint8]:
    """Returns about what `resize_image` makes of a larger picture, given the means `(H, W, 3)` uint8 of its blocks of
    pixels, `extent` of them: nearer to it than `resize_image` of the means is, by a third to a half.
    """
    sharp = cv2.sepFilter2D(means, -1, SHARPENED, SHARPENED, borderType=cv2.BORDER_REPLICATE)
    return resize_image(np.asarray(sharp, np.uint8), size, extent=extent)


def resize_image(
    image: npt.NDArray[np.uint8], size: tuple[int, int], *, extent: tuple[float, float] | None = None
) -> npt.NDArray[np.uint8]:
    """Returns `(H, W, 3)` uint8 stretched to the height and width of `size`: area filter down, linear up.

    `extent` is how many rows and columns the picture fills, where the last of them lie partly beyond it.
    """
    height, width = extent or image.shape[:2]
    if (height, width) == size:
        return image
    shrinks = size[0] <= height and size[1] <= width
    filtering = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    if extent is None:
        return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=filtering), np.uint8)
    # By factors OpenCV fills as many pixels as all rows and columns make, rounded: one more than is asked at most.
    larger = cv2.resize(image, None, fx=size[1] / width, fy=size[0] / height, interpolation=filtering)
    return np.ascontiguousarray(larger[: size[0], : size[1]], np.uint8)
