"""Inventory files: YAML, JSON, CSV and XLSX made into one document, and the document into an inventory."""
