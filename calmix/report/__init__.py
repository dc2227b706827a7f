"""What finished work says: a table and a verdict on the screen, figures, and one page that carries everything."""

from calmix.report.comparison import write_report
from calmix.report.evaluation import print_evaluation, write_evaluation
from calmix.report.ranks import print_ranks, read_ranking, write_ranks
from calmix.report.results import read_results
from calmix.report.screen import print_table

__all__ = [
    "print_evaluation",
    "print_ranks",
    "print_table",
    "read_ranking",
    "read_results",
    "write_evaluation",
    "write_ranks",
    "write_report",
]
