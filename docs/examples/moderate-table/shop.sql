-- The table that this example works on: sqlite3 shop.db < shop.sql
CREATE TABLE posts (id INTEGER PRIMARY KEY, text TEXT NOT NULL, flagged INTEGER);
INSERT INTO posts (id, text) VALUES
  (1, 'Lovely weather today'),
  (2, 'I will kill you'),
  (3, 'Does anybody sell a bicycle?');
