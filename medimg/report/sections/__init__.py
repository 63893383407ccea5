"""What each section of the page shows: an evaluation's records in, figures and grids out."""
