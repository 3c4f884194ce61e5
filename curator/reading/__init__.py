"""From files to rows: which files, which formats, which columns, which ids. Used by the operator `read` alone."""
