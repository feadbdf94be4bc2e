"""The proof by construction: servers drawn at random, with the profiles that are true of them."""
