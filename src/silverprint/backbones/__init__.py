"""Pretrained networks: names, weights, engines, and the extractor that looks once."""
