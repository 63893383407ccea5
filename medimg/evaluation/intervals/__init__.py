"""95% intervals, one method a file, and what is taken as independent."""
