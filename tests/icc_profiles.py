"""ICC profiles written out by hand (ICC.1:2001-04), so that tests know what they mean."""

import itertools
import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

D50 = (0.9642, 1.0, 0.8249)
# Primaries as XYZ adapted to D50, one column each.
SRGB_TO_XYZ = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
ADOBE_TO_XYZ = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
P3_TO_XYZ = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])


def rgb_profile(to_xyz: Floats, curve: bytes) -> bytes:
    """Returns a profile for displays: a tone curve, then a matrix."""
    colorants = [(b"%cXYZ" % name, _xyz(to_xyz[:, i])) for i, name in enumerate(b"rgb")]
    return _profile(b"mntr", b"RGB ", b"XYZ ", [*colorants, *((b"%cTRC" % name, curve) for name in b"rgb")])


def grey_profile(curve: bytes) -> bytes:
    """Returns a profile for greys."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", [(b"kTRC", curve)])


def ink_profile(
    lab_of: Callable[[float, float, float, float], tuple[float, float, float]], *, paper: tuple[float, ...] = D50
) -> bytes:
    """Returns a profile for prints on `paper` (XYZ), with the colours, relative to it, of full and no ink in all 16
    combinations, linear between.
    """
    corners = [lab_of(*inks) for inks in itertools.product((0.0, 1.0), repeat=4)]
    coded = bytes(round(v) for L, a, b in corners for v in (L * 2.55, a + 128, b + 128))
    identity = b"".join(struct.pack(">i", v << 16) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + ramp * 4 + coded + ramp * 3
    # As of a scanner of prints: the black point of a printer is measured by the way back, which this has not.
    return _profile(b"scnr", b"CMYK", b"Lab ", [(b"A2B0", table), (b"A2B1", table)], white=paper)


def gamma_curve(gamma: float) -> bytes:
    """Returns `light = value ** gamma`."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def srgb_curve() -> bytes:
    """Returns the curve of sRGB in 1024 steps, as the profile of Hewlett-Packard and Microsoft has it."""
    light = np.round(srgb_to_light(np.linspace(0, 1, 1024)) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + light.tobytes()


def srgb_to_light(values: Floats) -> Floats:
    """Returns linear light for sRGB values in [0, 1] (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def light_to_srgb(light: Floats) -> Floats:
    """Returns sRGB values in [0, 255] for linear light, cut to what sRGB has."""
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def xyz_to_srgb(xyz: Floats) -> Floats:
    """Returns sRGB values in [0, 255] for `(…, 3)` XYZ relative to D50."""
    return light_to_srgb(xyz @ np.linalg.inv(SRGB_TO_XYZ).T)


def lab_to_srgb(lab: Floats) -> Floats:
    """Returns sRGB values in [0, 255] for `(…, 3)` CIE L*a*b* of D50."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    return xyz_to_srgb(np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50)


def _xyz(values: Floats) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def _profile(
    kind: bytes, space: bytes, connection: bytes, tags: list[tuple[bytes, bytes]], *, white: tuple[float, ...] = D50
) -> bytes:
    name = b"test\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78)
    tags = [(b"desc", description), (b"wtpt", _xyz(np.array(white))), *tags]
    start, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, data in tags:
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data.ljust(-(-len(data) // 4) * 4, b"\0")
    size = start + len(body)
    header = struct.pack(">I4xI4s4s4s12x4s28x", size, 0x02400000, kind, space, connection, b"acsp")
    return (header + b"".join(struct.pack(">i", round(v * 65536)) for v in D50)).ljust(128, b"\0") + table + body
