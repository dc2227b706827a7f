"""The kit that studies draw with: pages, terminal tables, styles, figures that several use. It knows no story."""
