"""What an SQL source or sink needs of a database."""
