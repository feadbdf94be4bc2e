"""Rules of the RFCs of SMTP, one module or a few for each group."""
