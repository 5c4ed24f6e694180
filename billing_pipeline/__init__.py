"""Turns a month of raw cloud usage into one invoice per organisation.

    landing files -> usage      intake checks, deduplicates and corrects raw rows
                     accounts   organisations, prices, grants and payments as the month sees them
                     rating     dbt on DuckDB: seconds and volumes, then charges at dated prices
                     interim    what is asked for by the day or week, while the month runs
                     credits    Polars: free and prepaid credits, the refill for the next month
                     invoices   drafts with tax; then numbers, given last and without a gap
                     documents  HTML, PDF and e-invoice (XML) of each organisation's invoice
                     corrections  issued months rated again; what was approved of it goes to later invoices

Money is computed in `rules`, tables between stages are described in `tables`, what runs and when is in `defs`.
"""
