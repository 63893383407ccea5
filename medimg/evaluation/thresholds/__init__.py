"""Operating points: chosen on cases of their own, frozen, applied to others."""
