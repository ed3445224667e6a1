"""Writing bundles, and the one ONNX file that they ship."""
