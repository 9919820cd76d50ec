-- The process that conducts under each holder's name. It changes the mark all the time, from the one that it
-- has written: two with one name, as copies of a folder have, find each other.
CREATE TABLE IF NOT EXISTS presences (
    holder VARBINARY(128) NOT NULL PRIMARY KEY,
    mark   BIGINT         NOT NULL,
    place  VARBINARY(512) NOT NULL,   -- the machine since its boot, and the folder
    daemon VARBINARY(4096) NOT NULL   -- its name, for people
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
