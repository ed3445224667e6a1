"""The door that opens for Bo alone: whom does it let in? Prints a Markdown section.

    SILVERPRINT_DATA=... python benchmarks/door.py

Trained on 18 pictures of Bo and 120 of others; asked about pictures it never saw. The door opens
where the answer is "bo": "not_bo" and "unknown" keep it shut.
"""

import os
import tempfile
from collections import Counter
from pathlib import Path

import silverprint as sp
from common import table

ANSWERS = ("bo", "not_bo", "unknown")
ENDINGS = {".jpg", ".jpeg", ".png"}


def main() -> None:
    """Train, ask, count."""
    shared = Path(os.environ["SILVERPRINT_DATA"])
    data = shared / "doggy-door"
    visitors = {
        "Bo, held out": data / "valid/bo",
        "other dogs and cats, held out": data / "valid/not_bo",
        "the sleepy cat": data / "sleepy_cat.jpg",
        "another happy dog": data / "happy_dog.jpg",
        "empty roads": shared / "edges",
        "clothes": shared / "clothing/test",
        "paintings and portraits": shared / "style",
        "hands": shared / "asl/signs",
    }
    pictures = {
        name: [str(file) for file in sorted(at.rglob("*")) if file.suffix.lower() in ENDINGS]
        if at.is_dir() else [str(at)]
        for name, at in visitors.items()
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        model = sp.train(data, f"{folder}/bundle", quiet=True)
        rows = []
        for name, files in pictures.items():
            counts = Counter(one.label for one in model.predict(files))
            rows.append([name, str(len(files)), *(str(counts[label]) for label in ANSWERS)])
    print("## The door that opens for Bo\n")
    print(table(["who", "pictures", '"bo": opens', '"not_bo"', '"unknown"'], rows))


if __name__ == "__main__":
    main()
