"""From the bytes of a file to its pixels, stage by stage (PS3.4 N.2)."""
