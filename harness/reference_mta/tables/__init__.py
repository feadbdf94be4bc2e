"""The tables of the reference MTA's configuration, by what they are about; `config.Config` has them all."""
