"""The report of an evaluation: tables, figures, a page, a file."""
