"""The command group evaluate: measure engines on labelled data of your own."""

import typer

from callpipeline.cli.evaluate.mentions import labels, mentions
from callpipeline.cli.evaluate.sentiment import sentiment
from callpipeline.cli.session import report_errors

app = typer.Typer(
    name="evaluate",
    help="Measure quality on labels: mentions, sentiment. Write the labels of reviews.",
    no_args_is_help=True,
)


@app.callback()
def evaluate() -> None:
    """Measure quality on labelled data."""


app.command("mentions")(report_errors(mentions))
app.command("sentiment")(report_errors(sentiment))
app.command("labels")(report_errors(labels))
