"""How many requests may be in flight: pure decisions, and the gate that obeys them."""
