"""The outside world, a class each: what lies beyond the pipeline's own storage."""
