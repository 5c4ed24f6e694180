"""What the oracle and the generator know and the pipeline does not do yet, by name.

A name in `NOT_BUILT` keeps the generator from making such rows, or sets aside the payers that they concern. It is
emptied as the features are built; a name that is left is a gap that everybody can see.
"""

FEATURES = (
    "heartbeats",
    "unusable",
    "granularity",
    "vendor_charges",
    "sub_cent",
    "spend_rules",
    "public_spend_rules",
    "free_quantity",
    "provision_strategy",
    "provision_from_month",
    "org_unknown",
    "after_close",
    # found by comparing
    "refused_own_price",
    "details_at_emission",
    "payer_merges",
    "held_conflict",
    "spaced_scopes",
    "not_finite",
)

NOT_BUILT = frozenset()

BUILT = frozenset(FEATURES) - NOT_BUILT
