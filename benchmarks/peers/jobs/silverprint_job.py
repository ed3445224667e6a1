"""Silverprint: `silverprint train`, and in Python what predicts with the bundle."""

import json
import subprocess
import sys
from pathlib import Path

from notes import main, note, note_answers, note_seen


def train(data: Path, out: Path, epochs: int) -> None:
    """Run the command as it stands; with more than one epoch, fine-tune for as many."""
    options = ["--finetune", "--finetune-epochs", str(epochs)] if epochs > 1 else []
    program = Path(sys.executable).parent / "silverprint"
    command = [program, "train", data, "--out", out / "bundle", "--json", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    if done.returncode:
        sys.exit(done.returncode)
    result = json.loads(done.stdout)
    note(result=result, pictures=result["pictures"])


def predict(out: Path, photo: str, repeats: int) -> None:
    import silverprint as sp

    model = sp.load(out / "bundle")
    note_answers(lambda: model.predict(photo).label, repeats)


def see(file: str) -> None:
    from PIL import Image

    from silverprint import decode

    note_seen(Image.fromarray(decode(file)))


if __name__ == "__main__":
    main(train, predict, see)
