"""Text in pieces: where to cut it (`cuts`, `thoughts`, `jsonpath`, `quotes`), and how to edit the pieces (`edits`).

Pure text functions. A position is a number of characters (Unicode code points), as Python strings and DuckDB's
`substring` count them.
"""
