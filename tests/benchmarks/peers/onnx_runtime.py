"""The same weights on ONNX Runtime in float32, carefully: `python -m peers.onnx_runtime PICTURES OUT ONNX WEIGHTS`."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import onnxruntime

from peers.overlapped import Infer, asked, write_masks
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability


def engine(onnx: Path) -> Infer:
    """Returns the network as ONNX Runtime runs it, on a thread of its own, so that the stream goes on meanwhile."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    # Its threads else wait by spinning, on the cores that decode and encode: 192 pictures of 640×480 with `person` took
    # 3.0 CPU seconds with it, 2.3 without, and more time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    thread = ThreadPoolExecutor(1)

    def infer(batch: Pixels) -> Future[Probability]:
        return thread.submit(lambda: session.run(None, {name: batch})[0])

    return infer


if __name__ == "__main__":
    pictures, out, onnx, card = asked()
    write_masks(pictures, out, engine(onnx), card)
