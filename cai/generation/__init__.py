"""More prompts like the user's own, written by a model that is shown some of them."""
