"""A request in, a reply out: the strict HTTP reader and the API behind it."""
