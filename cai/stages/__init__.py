"""The stages of the method, one page each. A stage has never heard of paths, JSON, argv, torch or ray."""
