"""Pure computing: comparison, match weights, decisions."""
