"""From headers to cases with labels, and the tables that account for every file."""
