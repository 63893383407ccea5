"""Every metric in the groups of a column, and how far they lie apart."""
