"""One verb, one function; heavy imports inside it."""
