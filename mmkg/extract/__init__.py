"""Names in text (facts) and what follows from them over the whole base (the derived layer), without a model's verdict."""
