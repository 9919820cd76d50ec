-- Which store this is: one row, made up here and never changed.
CREATE TABLE store_id (
    id TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

INSERT INTO store_id (id) VALUES (lower(hex(randomblob(16))));
