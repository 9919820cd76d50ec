-- Which store this is: one row.
CREATE TABLE IF NOT EXISTS store_id (
    one TINYINT       NOT NULL PRIMARY KEY, -- 1
    id  VARBINARY(64) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
