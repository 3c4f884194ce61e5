"""How hard a problem is, how likely a text, and which of many to keep: formulas alone, no rows and no engines."""
