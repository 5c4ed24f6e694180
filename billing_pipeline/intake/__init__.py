"""Landing files become clean events: the feed contracts, reading, deduplication, quarantine."""
