"""The commands beside `pytest scenarios/`, a module for each; what each needs is imported when it is run."""
