"""What a training costs: `CALMIX_DATA=data python -m benchmarks.suite.costs [--sets vehicle ...]`."""

import argparse
import time
from statistics import median

from benchmarks.suite.methods import AUTO, FIXED
from benchmarks.suite.runs import defaults_of
from benchmarks.suite.sets import DEVELOPMENT
from calmix.train import train

COSTLY, ROUNDS = ("vehicle", "optdigits", "spambase"), 3


def main() -> None:
    """CPU time of whole trainings over that of plain ones, turn by turn; the median of a few rounds."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--sets", nargs="+", default=COSTLY)
    parser.add_argument("--methods", nargs="+", default=[*FIXED[1:], *AUTO])
    options = parser.parse_args()
    print(
        f"| {' | '.join(['set', 'steps an epoch', *options.methods])} |",
        "|---" * (2 + len(options.methods)) + "|",
        sep="\n",
    )
    for of in [of for of in DEVELOPMENT if of.name in options.sets]:
        recipes = defaults_of(of, ["erm", *options.methods], 1)
        seconds: list[list[float]] = []
        for _ in range(ROUNDS):
            took = []
            for recipe in recipes:
                start = time.process_time()
                train(recipe)
                took.append(time.process_time() - start)
            seconds.append(took)
        ratios = [median(took[place] / took[0] for took in seconds) for place in range(1, len(recipes))]
        steps = -(-len(recipes[0].splits().train) // of.settings.batch_size)
        print(f"| {' | '.join([of.name, str(steps), *(f'{ratio:.2f}' for ratio in ratios)])} |", flush=True)


if __name__ == "__main__":
    main()
