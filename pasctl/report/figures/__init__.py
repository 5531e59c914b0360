"""Figures: plain numbers in, SVG elements out. Each draws itself at any width in pixels."""
