-- The job's XML, as it came. Apart, so that state changes stay small and a purge can drop it.
CREATE TABLE IF NOT EXISTS payloads (
    record_id BIGINT   NOT NULL PRIMARY KEY,
    xml       LONGBLOB NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
