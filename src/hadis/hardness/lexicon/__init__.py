"""Word lists behind the features, written for this project: lower case, each word once."""
