"""`mendbus conformance`: does a live agent keep to the contract?"""

from typing import Annotated

import typer

from mendbus.cli.options import AsJson, DataDir, NatsUrl, Root


def conformance(
    agent: Annotated[str, typer.Option(metavar="KIND/ID", help="The agent to drive through its duties.")],
    nats_url: NatsUrl = None,
    root: Root = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Drive a live agent through its duties.

    Prints which of them it keeps; exit status 1 when it breaks one.
    """
