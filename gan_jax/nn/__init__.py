"""Layers that several networks share: convolutions, normalisations."""
