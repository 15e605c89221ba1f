"""The transformers that come with Connectory, one file each; a step's name is the file's name."""
