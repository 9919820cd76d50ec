-- Rejections that are no longer remembered: a request that was sent before this may be about one. One row.
CREATE TABLE IF NOT EXISTS forgotten (
    one         TINYINT NOT NULL PRIMARY KEY, -- 1
    sent_before BIGINT  NOT NULL -- microseconds since 1970
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
