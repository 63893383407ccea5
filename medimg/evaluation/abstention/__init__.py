"""What refusing the least sure cases would win."""
