"""A user's own kit for encrypted prediction. Secret keys, features and answers never leave it open."""
