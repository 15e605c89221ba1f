"""Where records come from and go to: one file each."""
