-- Rejections that are no longer remembered: a request that was sent before this may be about one. One row.
CREATE TABLE forgotten (
    one         INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    sent_before INTEGER NOT NULL -- microseconds since 1970
) STRICT;

INSERT INTO forgotten (one, sent_before) VALUES (1, 0);
