"""Source text by its language: which functions it has, which lines hold code, what is equal. Knows no repositories."""
