"""Rules of the Exim wiki page, one module for each stage of the dialogue."""
