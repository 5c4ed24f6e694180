"""Rates one month of the home that the environment names, in a process of its own: `python rate_month.py 2026-01`."""

import sys

import dagster as dg

from billing_pipeline.defs.rating import rating
from billing_pipeline.defs.resources import BillingResource

if __name__ == "__main__":
    dg.materialize(
        [rating], partition_key=sys.argv[1], resources={"billing": BillingResource()}, instance=dg.DagsterInstance.get()
    )
