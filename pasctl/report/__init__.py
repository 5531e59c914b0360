"""A page about artifacts: data in, HTML and SVG out. Nothing here knows the store."""
