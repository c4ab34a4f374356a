"""The encrypted prediction portal: its users send encrypted features and get encrypted predictions."""
