"""segtool: folders of pictures into segmentation masks, folders of masks into U-Nets."""

__version__ = "0.1.0"
