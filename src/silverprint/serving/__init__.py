"""The web application: `create_app(bundles, settings)`. Needs no torch."""
