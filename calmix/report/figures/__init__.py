"""Figures that several studies use: `prepare_*` returns what is shown, `draw_*` puts it on axes, `*_drawing` makes a file of it."""
