"""Methods on many data sets, half of which nothing was chosen on. See docs/results/suite.md."""
