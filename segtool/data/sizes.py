"""Files that cannot be read, and pairs whose sizes do not agree."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from segtool.data.facts import SIDEWAYS, Look, MaskFacts, relative
from segtool.data.truth import ASPECT_TOLERANCE
from segtool.results import Case, Finding

# code, severity, what is wrong, what to do
MISFITS = (
    ("transposed", "error", "A mask lies across its image: width and height are exchanged.",
     "Turn the mask; where one of the two has an EXIF orientation, the other was made without looking at it."),
    ("size-mismatch", "error", "A mask is of another shape than its image, by more than 1 %.",
     "Make the mask anew so that it covers just the image; training leaves the pair out."),
    ("exif-one-side", "warning", "EXIF turns only one of image and mask, and the sizes fit both ways.",
     "Draw one over the other to see whether the mask lies right; where not, turn it."),
    ("size-scaled", "note", "A mask is of another size than its image, of the same shape; training scales it.",
     "Nothing needs to be done; outlines are as coarse as the smaller of the two."),
)  # fmt: skip


def reading_findings(looks: Sequence[Look], root: Path) -> Iterator[Finding]:
    """Yields the files that cannot be read, with the reason."""
    images = tuple(Case(relative(root, x.pair.image), x.image.error) for x in looks if x.image.error)
    masks = tuple(Case(relative(root, x.pair.mask), x.mask.error) for x in looks if x.mask.error)
    advice = "Get it anew from where it came, or take the pair out; training leaves it out and says so at the end."
    if images:
        yield Finding("unreadable-image", "error", "An image that cannot be read.", advice, images)
    if masks:
        yield Finding("unreadable-mask", "error", "A mask that cannot be read.", advice, masks)


def size_findings(looks: Sequence[Look], root: Path) -> Iterator[Finding]:
    """Yields the pairs whose image and mask do not lie upon each other as they should."""
    found: dict[str, list[Look]] = {}
    for look in looks:
        if not look.image.error and not look.mask.error:
            found.setdefault(_verdict(look), []).append(look)
    # Where sideways pictures do fit, whoever drew the masks saw them upright: then the others are right as well.
    if "upright" in found and "transposed" not in found:
        found.pop("exif-one-side", None)
    for code, severity, what, advice in MISFITS:
        if code in found:
            yield Finding(code, severity, what, advice, tuple(_case(look, root) for look in found[code]))


def _verdict(look: Look) -> str:
    """Returns a code of `MISFITS`, or `same` or `upright` where all is well, the latter by EXIF alone."""
    image, mask = look.image, look.mask
    across = _fits(image.height, image.width, mask)
    if not _fits(image.width, image.height, mask):
        return "transposed" if across else "size-mismatch"
    if image.orientation != mask.orientation:
        turned = image.orientation in SIDEWAYS or mask.orientation in SIDEWAYS
        return "upright" if turned and not across else "exif-one-side"
    return "same" if (image.width, image.height) == (mask.width, mask.height) else "size-scaled"


def _fits(width: int, height: int, mask: MaskFacts) -> bool:
    return abs(mask.height * width / (mask.width * height) - 1) <= ASPECT_TOLERANCE or (width, height) == (
        mask.width,
        mask.height,
    )


def _case(look: Look, root: Path) -> Case:
    sides = []
    for name, facts in (("image", look.image), ("mask", look.mask)):
        turned = f" by EXIF orientation {facts.orientation}" if facts.orientation != 1 else ""
        sides.append(f"{name} {facts.width}×{facts.height}{turned}")
    return Case(relative(root, look.pair.image, look.pair.mask), ", ".join(sides))
