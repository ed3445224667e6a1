"""All that is needed to use a bundle: numpy, Pillow and ONNX Runtime. Never imports torch."""
