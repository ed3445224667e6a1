"""`silverprint augment`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silverprint.cli.common import print_json, print_refused, refused_as_json, table
from silverprint.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from silverprint.workflows.augment import Sheet


def augment(
    data: Annotated[str | None, typer.Argument(help="Pictures, as for train.", show_default=False)] = None,
    policy: Annotated[str | None, typer.Option(help="A policy's name; --list shows them.", show_default="by the classes")] = None,
    out: Annotated[Path, typer.Option(help="The sheet: a .png, .jpg or .webp file.")] = Path("sheet.png"),
    pictures: Annotated[int, typer.Option(help="How many pictures, a row each.")] = 8,
    views: Annotated[int, typer.Option(help="How many varied views of each.")] = 8,
    size: Annotated[int | None, typer.Option(help="Side in pixels, as the network sees it; default 128, or a small picture's own.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed shows other pictures and views.")] = 0,
    data_dir: Annotated[Path | None, typer.Option(help="Where named datasets are.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the policies and stop.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")] = False,
) -> None:  # fmt: skip
    """Draw a sheet that shows what an augmentation policy does to real pictures."""
    if list_:
        _list(json)
        return
    if data is None:
        raise ConfigError("augment needs pictures, as train does, or --list.")
    from silverprint.data.policies import find_policy
    from silverprint.data.read import read

    if policy is not None:
        find_policy(policy)  # before a large dataset is read
    try:
        from silverprint.workflows.augment import augmentation_sheet

        sheet = augmentation_sheet(
            read(data, data_dir=data_dir), out,
            policy=policy, pictures=pictures, views=views, size=size, seed=seed,
        )  # fmt: skip
    except ImportError as error:
        raise MissingExtraError("augmentation", "train") from error
    if json:
        print_json(_result(sheet, seed))
    else:
        _print(sheet)


def _list(json: bool) -> None:
    from dataclasses import asdict

    from silverprint.data.policies import POLICIES

    if json:
        print_json({
            name: {**asdict(policy), "in_words": policy.in_words()}
            for name, policy in POLICIES.items()
        })  # fmt: skip
        return
    table(
        ("policy", "for", "what it does"),
        [(name, policy.purpose, "; ".join(policy.in_words())) for name, policy in POLICIES.items()],
    )


def _result(sheet: "Sheet", seed: int) -> dict[str, Any]:
    from silverprint.data.policies import find_policy

    return {
        "sheet": str(sheet.path),
        "policy": sheet.policy,
        "reason": sheet.reason,
        "in_words": find_policy(sheet.policy).in_words(),
        "size": sheet.size,
        "views": sheet.views,
        "seed": seed,
        "pictures": [{"file": file, "label": label} for file, label in sheet.pictures],
        "refused": refused_as_json(sheet.refused),
    }


def _print(sheet: "Sheet") -> None:
    from silverprint.data.policies import find_policy

    because = f" ({sheet.reason})" if sheet.reason else ""
    typer.echo(f"policy {sheet.policy}{because}; each picture, each time:")
    for words in find_policy(sheet.policy).in_words():
        typer.echo(f"  {words}")
    typer.echo(
        f"{sheet.path}: {len(sheet.pictures)} pictures at {sheet.size} pixels, each with "
        f"{sheet.views} views; the originals are on the left"
    )
    print_refused(sheet.refused, "--json lists them")
