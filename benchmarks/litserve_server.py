"""The same network behind LitServe, for serving.py to compare with; in a venv that has it.

python benchmarks/litserve_server.py BUNDLE PORT WORKERS
"""

import io
import sys

import litserve
import torch
from PIL import Image, ImageOps
from torchvision.transforms.functional import normalize, to_tensor

from silverprint.export.network import load_network
from silverprint.runtime.bundle import read_bundle


class Api(litserve.LitAPI):
    """One form field `files` in, each class's probability out."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's names
        torch.set_num_threads(1)
        bundle = read_bundle(sys.argv[1])
        self.classes, self.network = bundle.classes, load_network(bundle)
        self.size = int(bundle.manifest["preprocessing"]["size"])

    def decode_request(self, request) -> torch.Tensor:  # noqa: ANN001 - a form
        picture = Image.open(io.BytesIO(request["files"].file.read())).convert("RGB")
        pixels = to_tensor(ImageOps.pad(picture, (self.size, self.size)))
        return normalize(pixels, [0.5] * 3, [0.5] * 3)

    def predict(self, pixels: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self.network(pixels[None]).softmax(1)[0]

    def encode_response(self, probabilities: torch.Tensor) -> dict[str, float]:
        return dict(zip(self.classes, probabilities.tolist(), strict=True))


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=int(sys.argv[3]))
    server.run(port=int(sys.argv[2]), log_level="warning", generate_client_file=False)
