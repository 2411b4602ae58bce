"""Checkpoints of other toolboxes: recognised by their keys, read without executing anything."""
