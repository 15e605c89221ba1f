"""Records in files and streams: lines of JSON, rows of CSV, columns of Arrow, and gzip around them."""
