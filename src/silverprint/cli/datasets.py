"""`silverprint datasets`."""

from pathlib import Path
from typing import Annotated

import typer

from silverprint.cli.common import print_json, table


def datasets(
    data_dir: Annotated[Path | None, typer.Option(help="Where to look; default SILVERPRINT_DATA.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON list to stdout.")] = False,
) -> None:  # fmt: skip
    """List the datasets that can be named instead of a folder, and where each is or comes from."""
    from dataclasses import asdict

    from silverprint.data.named import list_datasets

    found = [
        {
            key: str(value) if isinstance(value, Path) else value
            for key, value in asdict(info).items()
        }
        for info in list_datasets(data_dir)
    ]
    if json:
        print_json(found)
        return
    header = list(found[0])
    table(header, [[str(row[key]) for key in header] for row in found])
