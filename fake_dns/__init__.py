"""The scripted name server: answers what a scenario publishes, misbehaves as told, remembers every query."""
