"""What a finished comparison says: a table on the screen, figures, and one page that carries everything."""

from calmix.report.page import write_report
from calmix.report.results import read_results
from calmix.report.tables import print_table

__all__ = ["print_table", "read_results", "write_report"]
