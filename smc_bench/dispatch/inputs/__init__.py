"""What cells read, before they start: pins, checks, bundles, precision, a teacher's logits."""
