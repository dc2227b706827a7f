"""Adapters to other people's training loops: one file a framework, imported when used."""
