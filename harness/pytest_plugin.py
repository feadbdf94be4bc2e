"""The pytest plugin: options, fixtures, scheduler, reports."""
