"""Compare choices of training: the same few steps for each, measured on sets for choices.

    PYTHONPATH=../.. python compare.py DATA BASE [CHOICE ...]

DATA and BASE are those of train.py. Prints a row of a Markdown table for each choice. The trainings
are much shorter than that of the package's network, so only their differences count.
"""

import sys
from collections.abc import Mapping, Sequence

import torch
from train import Trainer, parse_options, score
from utterances import Utterance

COMMON = (
    "--tuned-layers 7 --grid-epochs 0 --epochs 1 --share 0.25 --mams 250 --news 120 --words 50"
    " --names 0 --name-share 0 --average 0.97"
)
CHOICES: Mapping[str, str] = {
    "all layers tuned, target marked, with the turns around": "",
    "only the last two layers tuned": "--tuned-layers 2",
    "target not marked": "--no-marked",
    "without the turns around": "--no-context",
    "a quarter of these sentences, four times": "--epochs 4 --share 0.0625 --mams 62 --news 30"
    " --words 12",
    "without public sentences": "--mams 0 --news 0 --share 0.287",
}
"""Options of each choice; all see about 2,900 inputs."""


def main(arguments: Sequence[str]) -> None:
    data, base, *wanted = arguments
    print("| choice | calls: macro-F1 | turned round | MAMS | NewsMTSC |")
    print("|---|---|---|---|---|", flush=True)
    for name in wanted or CHOICES:
        options = parse_options([data, base, *COMMON.split(), *CHOICES[name].split()])
        torch.manual_seed(options.seed)
        torch.set_num_threads(options.threads)
        trainer = Trainer(options)
        trainer.train()
        calls = trainer.dev + trainer.hard
        f1, turned = _scores(trainer, calls)
        public = (_scores(trainer, each)[0] for each in (trainer.mams_held, trainer.news_held))
        cells = (name, f"{f1:.2f}", f"{100 * turned:.0f} %", *(f"{each:.2f}" for each in public))
        print("|", " | ".join(cells), "|", flush=True)


def _scores(trainer: Trainer, utterances: Sequence[Utterance]) -> tuple[float, float]:
    found = score(utterances, trainer.predict(utterances))
    return found.macro_f1, found.turned_round


if __name__ == "__main__":
    main(sys.argv[1:])
