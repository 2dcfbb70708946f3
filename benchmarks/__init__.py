"""One file a measured claim; each prints a ratio measured side by side in one run."""
