"""The plain loop of notebooks: read, shrink, `model.predict` one by one, grow, threshold, write.

    python -m peers.plain_keras PICTURES OUT WEIGHTS HEIGHT WIDTH

It knows nothing of segtool: height and width are what the network sees.
"""

import sys
from pathlib import Path

import cv2
import keras
import numpy as np


def main() -> None:
    """Writes a mask a picture."""
    pictures, out, weights = (Path(word) for word in sys.argv[1:4])
    height, width = int(sys.argv[4]), int(sys.argv[5])
    model = keras.models.load_model(weights, compile=False)
    for path in sorted(pictures.iterdir()):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]  # notebooks do not ask
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        probability = model.predict(small[np.newaxis], verbose=0)[0, ..., 0]
        full = cv2.resize(probability, (image.shape[1], image.shape[0]))
        cv2.imwrite(str(out / f"{path.stem}.png"), (full >= 0.5).astype(np.uint8) * 255)


if __name__ == "__main__":
    main()
