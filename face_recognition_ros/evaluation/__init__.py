"""Judges networks and the whole pipeline on public protocols."""
