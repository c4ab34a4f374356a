"""The encrypted prediction portal: a site whose users send encrypted features and get encrypted predictions."""
