"""The only folder that imports Keras: networks made, trained, kept on disk. Its backend is `segtool.engine`'s."""

from segtool.engine import silent_stderr

with silent_stderr():
    import keras  # noqa: F401  # the first import of Keras in the process, and of its backend
