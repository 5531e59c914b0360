"""The command line: parses, calls a stage, prints. Nothing heavy is imported until a command runs."""
