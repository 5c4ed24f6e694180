"""What the command line shows: a run's progress, a month's totals, why a figure is what it is."""
