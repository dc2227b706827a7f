"""The card of a network that was kept: what it predicts, from what, how good it is, and what it is not for."""

from calmix.results.store import Results
from calmix.studies.comparison.tables import summary_table

_ROWS = {"image": "new_images/", "table": "new_rows.csv"}  # what predict is given, by the kind of data


def model_card(results: Results, target: str) -> str:
    """The text of README.md beside a network, in Markdown. target: the column that it predicts; may be empty."""
    facts, [record] = results.facts, results.records
    data, table = facts.data, summary_table(results)
    what = f"`{target}`" if target else "the value" if facts.regression else "the class"
    fitted = "Intervals were" if facts.regression else f"The temperature, {record.temperature:.3g}, and sets were"
    kind = "Values and intervals" if facts.regression else "Probabilities and sets"
    made = f"method `{record.method}`, network `{facts.model}`, seed {record.seed}"
    sentences = [
        f"Trained {f'on {facts.date} ' if facts.date else ''}from {data.source}: {made}.",
        f"The classes are {', '.join(f'`{name}`' for name in data.classes)}." if data.classes else "",
        f"Rows: {', '.join(f'{size:,} {part}' for part, size in data.sizes.items() if size)}.",
        "" if data.sizes["validation"] else "It was trained on the validation rows, too, and on no test row.",
        f"It sees {len(data.features)} features." if data.features else "",
    ]
    honest = [
        f"The numbers are of one training, on {data.sizes['test']:,} test rows that the network never saw.",
        f"{fitted} fitted on the {data.sizes['calibration']:,} calibration rows.",
        f"{kind} mean what they say for rows of the same kind as these; of other rows they are guesses.",
    ]
    return f"""# A network that predicts {what} of {data.name}

{" ".join(filter(None, sentences))}

| {" | ".join(table.headings)} |
|{"---|" * len(table.headings)}
| {" | ".join(cell.value for cell in table.rows[0].cells)} |

{" ".join(honest)}
[report.html](report.html) shows where it errs.

```
calmix predict THIS_FOLDER {_ROWS.get(data.kind, "NEW_DATA")} --out predictions.csv
```
"""
