"""The same weights on OpenVINO in bfloat16, carefully: `python -m peers.open_vino PICTURES OUT ONNX WEIGHTS`."""

from concurrent.futures import Future
from pathlib import Path

import numpy as np
import openvino
from ours import BATCH

from peers.overlapped import Infer, asked, write_masks
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability


def engine(onnx: Path) -> Infer:
    """Returns the network as OpenVINO runs it, by asynchronous requests of one fixed shape.

    The throughput hint chooses streams and requests by itself. On two cores 192 pictures of 640×480 with `person` took
    1.1 s with it, 1.3 s with one stream, 1.25 s with the latency hint (medians of three runs in turn).
    """
    core = openvino.Core()
    model = core.read_model(onnx)
    model.reshape([BATCH, *[d.get_length() for d in list(model.inputs[0].partial_shape)[1:]]])
    settings = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "THROUGHPUT"}
    queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", settings))  # 0 jobs: as many as suit it

    def done(request: openvino.InferRequest, waiting: tuple[Future[Probability], int]) -> None:
        promised, count = waiting
        promised.set_result(request.get_output_tensor().data[:count].copy())

    queue.set_callback(done)

    def infer(batch: Pixels) -> Future[Probability]:
        promised: Future[Probability] = Future()
        full = batch if len(batch) == BATCH else np.resize(batch, (BATCH, *batch.shape[1:]))
        queue.start_async([full], (promised, len(batch)))
        return promised

    return infer


if __name__ == "__main__":
    pictures, out, onnx, card = asked()
    write_masks(pictures, out, engine(onnx), card)
