"""How a table is written, as far as a user has to say it."""

import codecs
from dataclasses import dataclass

from calmix.errors import SettingError
from calmix.reprs import shown

SEPARATORS = {",": "commas", ";": "';'", "\t": "tabs", "|": "'|'", " ": "spaces"}
DECIMALS = (".", ",")
THOUSANDS = (",", ".", " ", "'")


@dataclass(frozen=True)
class TableFormat:
    """How a table is written; None: what the file itself shows.

    Args:
        sep: What stands between cells: one character, such as `;`, or `tab` or `space`.
        decimal: What stands before decimals: `.` or `,`.
        thousands: What stands between thousands: `,`, `.`, `'` or `space`.
        encoding: How letters are stored, such as `utf-8` or `cp1252`.
        header: Whether the first row holds the names of the columns; where it does not, they are column1, column2, ...
        sheet: The sheet of an .xlsx file.

    Raises SettingError for anything else.

    >>> TableFormat(sep="tab", decimal=",")
    TableFormat(sep='\\t', decimal=',')
    """

    sep: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    header: bool | None = None
    sheet: str | None = None

    def __post_init__(self) -> None:
        for name in ("sep", "thousands"):
            plain = {"tab": "\t", "\\t": "\t", "space": " "}.get(getattr(self, name), getattr(self, name))
            object.__setattr__(self, name, plain)
        if self.sep is not None and (len(self.sep) != 1 or self.sep in "\"'\r\n\0\\" or self.sep.isalnum()):
            raise SettingError(f"sep is {self.sep!r}; give one character, such as ';', or tab or space.")
        if self.decimal not in (None, *DECIMALS):
            raise SettingError(f"decimal is {self.decimal!r}; give '.' or ','.")
        if self.thousands not in (None, *THOUSANDS):
            raise SettingError(f"thousands is {self.thousands!r}; give ',', '.', \"'\" or space.")
        if self.decimal is not None and self.decimal == self.thousands:
            raise SettingError(f"decimal and thousands are both {self.decimal!r}; give different ones.")
        if self.encoding is not None:
            try:
                is_text = codecs.lookup(self.encoding)._is_text_encoding
            except (LookupError, ValueError):
                is_text = False
            if not is_text:
                raise SettingError(f"encoding is {self.encoding!r}; give one such as utf-8, cp1252 or utf-16.")

    def __repr__(self) -> str:
        return shown(self)


DETECTED = TableFormat()  # all as the file shows it
