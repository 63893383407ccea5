"""How a set of cases differs from the one that a model is known on."""
