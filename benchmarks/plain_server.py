"""The same network behind the plainest FastAPI and torch, for serving.py to compare with.

python benchmarks/plain_server.py BUNDLE PORT
"""

import io
import sys

import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image, ImageOps
from torchvision.transforms.functional import normalize, to_tensor

from silverprint.export.network import load_network
from silverprint.runtime.bundle import read_bundle

BUNDLE = read_bundle(sys.argv[1])
NETWORK = load_network(BUNDLE)
SIZE = int(BUNDLE.manifest["preprocessing"]["size"])
app = FastAPI()


def answer(data: bytes) -> dict[str, float]:
    """Return each class's probability."""
    picture = ImageOps.pad(Image.open(io.BytesIO(data)).convert("RGB"), (SIZE, SIZE))
    pixels = normalize(to_tensor(picture), [0.5] * 3, [0.5] * 3)
    with torch.inference_mode():
        probabilities = NETWORK(pixels[None]).softmax(1)[0]
    return dict(zip(BUNDLE.classes, probabilities.tolist(), strict=True))


@app.post("/predict")
def predict(files: list[UploadFile]) -> list[dict[str, float]]:
    """Answer, in one of Starlette's threads."""
    return [answer(file.file.read()) for file in files]


if __name__ == "__main__":
    torch.set_num_threads(1)  # requests run side by side; two threads each were slower
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
