"""The policy of the reference MTA, a module a stage."""
