"""Runs of the scenarios that something else than a user wants: the proofs, and the trial of a draft."""
