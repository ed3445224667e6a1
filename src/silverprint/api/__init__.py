"""The Python face of Silverprint: its verbs as functions, and the model that they give."""
