"""Where the hospital's long-lived keys are: a folder, or the KMS."""
