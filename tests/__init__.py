"""Tests of the harness itself."""

from hypothesis import settings

settings.register_profile("without a clock", deadline=None)  # a busy machine is no defect
settings.load_profile("without a clock")
