-- How far this store is: grows with each commit and is noted outside of the store, too, so that an
-- older copy is known. One row.
CREATE TABLE generation (
    one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL -- of the last growth, microseconds since 1970
) STRICT;

INSERT INTO generation (one, number, at) VALUES (1, 0, 0);

-- Copies of this store that were put in its place and accepted by an operator.
CREATE TABLE restored (
    accepted_at INTEGER NOT NULL, -- microseconds since 1970
    copy_at     INTEGER NOT NULL, -- the copy's last commit
    known_at    INTEGER NOT NULL, -- the last commit that is known outside of the copy
    first_lost  INTEGER NOT NULL, -- record IDs that may have been given to jobs that are lost:
    next_id     INTEGER NOT NULL  -- from this one on, below this one
) STRICT;
